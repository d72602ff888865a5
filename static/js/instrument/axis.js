/**
 * The labels of the chart's axes. Pure, apart from the chosen time zone.
 *
 * @module
 */

import { plain } from '../text/decimal.js';
import { shown } from '../text/numbers.js';
import { stamp } from '../zone.js';

/**
 * Label the time scale in the chosen zone; the library places its marks by UTC.
 *
 * @param {number} time s
 * @param {number} type 0: a year begins, 1: a month, 2: a day, 3: time, 4: time with seconds
 */
export function tick(time, type) {
  const [day, clock] = stamp(time * 1000).split(' ');
  if (type > 2 || clock !== '00:00:00') return clock.slice(0, type > 3 ? 8 : 5);
  if (!type) return day.slice(0, 4);
  return new Date(day).toLocaleDateString('en-GB', { timeZone: 'UTC', month: 'short', ...(type === 2 && { day: 'numeric' }) });
}

/** @param {import('./bars.js').Bar[]} bars @returns {number} decimal places of the newest ones, without trailing zeros */
export function digitsOf(bars) {
  return Math.max(0, ...bars.slice(-500).map(({ close }) => /\.(\d*?)0*$/.exec(plain(close))?.[1].length ?? 0));
}

/** Format prices with this many decimal places and thousands separators. @param {number} digits */
export function priceFormat(digits) {
  const minMove = Number(`1e-${digits}`);
  // converted twice to avoid "-0"
  const formatter = (/** @type {number} */ price, places = digits) => shown(Number(price.toFixed(places)).toFixed(places), places);
  // Grid lines may be at 2.5 times the smallest step, which needs one more digit.
  const tickmarksFormatter = (/** @type {number[]} */ prices) => {
    const between = prices.some((price) => Math.abs(price - Number(price.toFixed(digits))) > minMove / 100);
    return prices.map((price) => formatter(price, digits + Number(between)));
  };
  return { type: 'custom', minMove, formatter, tickmarksFormatter };
}
