/**
 * Positions and their profit or loss per instrument, marked to the live quote.
 *
 * @module
 */

import { compare, multiply, subtract } from '../text/decimal.js';
import { shown } from '../text/numbers.js';
import { make, mark, write, writeNumber } from '../page/paint.js';
import { fold } from '../text/search.js';
import { trimmed } from './numberinput.js';
import { direction, NOTHING, signed } from '../text/format.js';

/**
 * @typedef {{instrument: string, bought_amount: string, bought_value: string, sold_amount: string,
 *   sold_value: string}} Position
 * @typedef {{symbol: string, name: string, base: string, unit: string, synthetic: boolean,
 *   steps: DOMStringMap}} Instrument unit: of its price; steps: its decimal places
 * @typedef {{bid: string | null, ask: string | null, stale: boolean}} Book stale: it cannot trade now
 */

/**
 * Return a position's size and its profit if it were closed now: a long position at the bid, a short one at the ask.
 * Exact; null if unknown. A closed position needs no quote.
 *
 * @param {Position} position
 * @param {Book | undefined} book
 * @returns {{held: string | null, at: string | null, profit: string | null, stale: boolean}}
 */
export function markToMarket(position, book) {
  const held = trimmed(subtract(position.bought_amount, position.sold_amount));
  const paid = subtract(position.bought_value, position.sold_value);
  const way = compare(held, '0');
  if (!way) return { held, at: null, profit: way === 0 ? trimmed(subtract('0', paid)) : null, stale: false };
  const price = (way > 0 ? book?.bid : book?.ask) ?? null;
  // Nothing can be traded at a price of zero or less.
  const at = compare(price, '0') === 1 ? price : null;
  return { held, at, profit: trimmed(subtract(multiply(held, at), paid)), stale: book?.stale ?? true };
}

/** @param {string} amount @param {string} value */
function dealt(amount, value) {
  return compare(amount, '0') ? `${shown(amount)} for ${shown(value)}` : NOTHING;
}

export class PositionTable {
  #body;
  #none;
  /** @type {Map<string, Position>} by symbol */
  #positions = new Map();
  /** @type {Map<string, HTMLElement[]>} each row and its value elements */
  #rows = new Map();
  #instruments;

  /**
   * @param {HTMLElement} body of the table
   * @param {HTMLElement} none shown while there is no position
   * @param {Map<string, Instrument>} instruments by folded symbol
   */
  constructor(body, none, instruments) {
    this.#body = body;
    this.#none = none;
    this.#instruments = instruments;
  }

  /** @returns {string[]} whose quotes are needed */
  get symbols() {
    return [...this.#positions.keys()].filter((symbol) => this.#instruments.has(fold(symbol)));
  }

  /** Set the server's positions. @param {Position[]} positions */
  update(positions) {
    this.#positions = new Map(
      positions.map((one) => [this.#instruments.get(fold(one.instrument))?.symbol ?? one.instrument, one]),
    );
    this.#none.hidden = positions.length > 0;
    for (const symbol of this.#rows.keys()) if (!this.#positions.has(symbol)) this.#rows.delete(symbol);
    for (const symbol of this.#positions.keys()) if (!this.#rows.has(symbol)) this.#rows.set(symbol, this.#build(symbol));
    const rows = [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, [row]]) => row);
    this.#body.replaceChildren(...rows);
  }

  /** Show them at the newest quotes. @param {(symbol: string) => Book | undefined} bookOf */
  paint(bookOf) {
    for (const [symbol, position] of this.#positions) {
      const [row, held, bought, sold, at, word, profit] = /** @type {HTMLElement[]} */ (this.#rows.get(symbol));
      const found = markToMarket(position, bookOf(symbol));
      writeNumber(held, found.held && signed(found.held));
      write(bought, dealt(position.bought_amount, position.bought_value));
      write(sold, dealt(position.sold_amount, position.sold_value));
      writeNumber(at, found.held === '0' ? 'closed' : found.at);
      write(word, found.stale ? 'STALE' : '');
      writeNumber(profit, found.profit && signed(found.profit));
      mark(profit, 'way', found.stale || found.profit === null ? null : direction(found.profit));
      mark(row, 'stale', found.stale ? '' : null);
    }
  }

  /** @param {string} symbol @returns {HTMLElement[]} the row and its value elements */
  #build(symbol) {
    const { name = symbol, unit = '', synthetic = false } = this.#instruments.get(fold(symbol)) ?? {};
    const [held, bought, sold, at, profit] = Array.from({ length: 5 }, () => make('span'));
    const word = make('span', { class: 'word' });
    const head = make('th', { scope: 'row', role: 'rowheader' }, make('a', { href: `./${symbol}` }, name));
    if (synthetic) head.append(' ', make('span', { class: 'badge synthetic' }, 'synthetic'));
    const cell = (/** @type {string} */ label, /** @type {Node[]} */ ...inside) =>
      make('td', { role: 'cell', 'data-label': label }, ...inside);
    const money = cell('Profit or loss', profit, ...(unit ? [' ', make('small', {}, unit)] : []));
    money.className = 'profit';
    const places = [cell('Position', held), cell('Bought', bought), cell('Sold', sold), cell('Mark', at, ' ', word), money];
    return [make('tr', { role: 'row', 'data-symbol': symbol }, head, ...places), held, bought, sold, at, word, profit];
  }
}
