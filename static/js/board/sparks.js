/**
 * The last hour of every instrument, one price a minute: fetched once, then continued from the live quotes.
 * Pure; knows no page and no network. Prices stay text; floats are for drawing only.
 *
 * @module
 */

import { compare, percent, subtract } from '../text/decimal.js';
import { signed } from '../text/format.js';

const MINUTE_MS = 60_000;
const MINUTES = 60;
/** A quiet market may have this many minutes without a price; longer, the line is broken. */
const CALM = 3;

export const WIDTH = 120;
export const HEIGHT = 28;
/** Padding, so that the thickness of the line fits in. */
const EDGE = 2;

/** @typedef {[number, string, number?]} Point start of the minute in ms, last price in it, and its `seq` if it was seen live */

export class Sparks {
  /** @type {Map<string, Point[]>} oldest first; at most MINUTES of each symbol */
  #points = new Map();

  /**
   * Replace everything by the server's last hour, apart from what was seen live since then: the answer may be some seconds old.
   *
   * @param {{[symbol: string]: Point[]}} sparks
   * @param {number} seq the newest change that they include
   */
  replace(sparks, seq) {
    const before = this.#points;
    this.#points = new Map();
    for (const [symbol, points] of Object.entries(sparks)) {
      const newer = (before.get(symbol) ?? []).filter(([, , seen = 0]) => seen > seq);
      const older = newer.length ? points.filter(([time]) => time < newer[0][0]) : points;
      this.#points.set(symbol, [...older, ...newer].slice(-MINUTES));
    }
  }

  /**
   * Record a live price; return whether the line changed.
   *
   * @param {string} symbol
   * @param {string} price
   * @param {number} now server's clock, ms
   * @param {number} seq of its quote
   * @returns {boolean}
   */
  note(symbol, price, now, seq) {
    const minute = now - (now % MINUTE_MS);
    const points = this.#points.get(symbol) ?? [];
    const last = points.at(-1);
    if (last && last[0] > minute) return false;
    if (last && last[0] === minute) {
      const same = last[1] === price;
      points[points.length - 1] = [minute, price, seq];
      return !same;
    }
    points.push([minute, price, seq]);
    if (points.length > MINUTES) points.shift();
    this.#points.set(symbol, points);
    return true;
  }

  /**
   * List the points of the hour that ends now.
   *
   * @param {string} symbol
   * @param {number} now server's clock, ms
   * @returns {Point[]}
   */
  hour(symbol, now) {
    const since = now - (now % MINUTE_MS) - (MINUTES - 1) * MINUTE_MS;
    return (this.#points.get(symbol) ?? []).filter(([time]) => time >= since);
  }
}

/**
 * Return the change from the first point to the last: in percent, or absolute for a random walk; null with fewer than two
 * points.
 *
 * @param {Point[]} points
 * @param {boolean} walks whether it is a random walk, which may be zero or negative
 * @returns {string | null} signed
 */
export function hourChange(points, walks) {
  if (points.length < 2) return null;
  const first = points[0][1];
  const step = subtract(points[points.length - 1][1], first);
  const text = walks ? step : percent(step, first, 2);
  return text === null ? null : signed(text);
}

/**
 * Draw the points as the path of a line, WIDTH × HEIGHT, broken where minutes are missing; empty without points.
 *
 * @param {Point[]} points
 * @param {number} now server's clock, ms
 * @returns {string}
 */
export function path(points, now) {
  if (!points.length) return '';
  let low = points[0][1];
  let high = low;
  for (const [, price] of points) {
    if (compare(price, low) === -1) low = price;
    if (compare(price, high) === 1) high = price;
  }
  const span = Number(subtract(high, low));
  const end = now - (now % MINUTE_MS);
  let before = -Infinity;
  let drawn = '';
  for (const [time, price] of points) {
    const x = EDGE + (1 - (end - time) / ((MINUTES - 1) * MINUTE_MS)) * (WIDTH - 2 * EDGE);
    const share = span ? Number(subtract(price, low)) / span : 0.5;
    const y = HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE);
    const joined = time - before <= CALM * MINUTE_MS;
    // "h0" makes an isolated point visible as a dot, because line caps are round.
    drawn += `${joined ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}${joined ? '' : 'h0'}`;
    before = time;
  }
  return drawn;
}
