/**
 * The viewer's own trades as marks on the chart. Pure.
 *
 * @module
 */

import { before } from './bars.js';

/** @typedef {{exec_id: string, side: number, amount: string, price: string, time: number}} Trade side 1: buy, 2: sell */

/**
 * Combine trades into marks, one per bar and side.
 *
 * @param {Trade[]} trades oldest first
 * @param {{time: number}[]} places the bars, oldest first; trades before the first are left out
 * @returns {{time: number, side: number, text: string}[]} oldest first
 */
export function marksOf(trades, places) {
  /** @type {Map<string, {time: number, side: number, of: Trade[]}>} */
  const marks = new Map();
  for (const trade of trades) {
    const time = places[before(places, trade.time)]?.time;
    if (time === undefined) continue;
    const key = `${time} ${trade.side}`;
    const mark = marks.get(key) ?? { time, side: trade.side, of: [] };
    mark.of.push(trade);
    marks.set(key, mark);
  }
  const sorted = [...marks.values()].sort((a, b) => a.time - b.time);
  return sorted.map(({ time, side, of }) => ({ time, side, text: short(side, of) }));
}

/** @param {number} side @param {Trade[]} of */
function short(side, of) {
  const [{ amount, price }] = of;
  return of.length === 1 ? `${side === 1 ? 'B' : 'S'} ${amount} @ ${price}` : `${of.length} ${side === 1 ? 'buys' : 'sells'}`;
}

/**
 * Describe trades: "you bought 10 at 87.01, sold 5 at 87.2".
 *
 * @param {Trade[]} trades oldest first
 * @returns {string} empty if there are none
 */
export function ownWords(trades) {
  const named = trades.slice(0, 3).map(({ side, amount, price }) => `${side === 1 ? 'bought' : 'sold'} ${amount} at ${price}`);
  const more = trades.length - named.length;
  return named.length ? `you ${named.join(', ')}${more ? ` and ${more} more` : ''}` : '';
}
