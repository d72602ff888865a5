/**
 * The order book of one instrument, merged over venues or that of one, watched only while it can be seen.
 *
 * @module
 */

import { compare, subtract } from '../text/decimal.js';
import { make, mark, node, write, writeNumber } from '../page/paint.js';
import { age, NOTHING } from '../text/format.js';
import { shown } from '../text/numbers.js';

/** @typedef {import('./live.js').Depth} Depth */
/** @typedef {{price: string, size: string, who: string}} Level */

const REQUESTED = 'The books are requested from the venues …';

export class Ladder {
  /** @type {Depth | null} */
  #depth = null;
  #arrived = 0;
  /** whether the newest book was followed since it arrived */
  #followed = false;
  #receiving = true;
  #digits;
  #choice = /** @type {HTMLSelectElement} */ (node('ladder-venue'));
  #asks = rows('ladder-asks').reverse();
  #bids = rows('ladder-bids');

  /**
   * @param {import('../text/numbers.js').Digits} digits
   * @param {(seen: boolean) => void} watch called when it comes into sight, and when it leaves
   */
  constructor(digits, watch) {
    this.#digits = digits;
    this.#choice.addEventListener('change', () => this.paint(this.#receiving));
    let near = false;
    let watched = false;
    const check = () => {
      const seen = near && !document.hidden;
      if (seen === watched) return;
      watched = seen;
      this.#followed = false;
      watch(seen);
      this.paint(this.#receiving);
    };
    addEventListener('visibilitychange', check);
    new IntersectionObserver((entries) => {
      near = entries.at(-1)?.isIntersecting ?? false;
      check();
    }).observe(node('ladder'));
  }

  /** Another instrument, with its own steps. @param {import('../text/numbers.js').Digits} digits */
  change(digits) {
    this.#digits = digits;
    this.#depth = null;
    write(node('ladder-note'), REQUESTED);
    this.paint(this.#receiving);
  }

  /** Set the newest book; `paint` shows it. @param {Depth} depth */
  update(depth) {
    this.#depth = depth;
    this.#arrived = Date.now();
    this.#followed = true;
  }

  /** Show the newest book. @param {boolean} receiving whether the server is sending, so that it is current */
  paint(receiving) {
    const depth = this.#depth;
    this.#receiving = receiving;
    this.#offer(depth?.venues.map(({ source }) => source) ?? []);
    const { bids, asks } = this.#levels(depth);
    mark(node('ladder'), 'stale', depth && (depth.stale || !receiving || !this.#followed) ? '' : null);
    const most = this.#fill(this.#bids, bids, this.#fill(this.#asks, asks, null));
    for (const { row } of [...this.#asks, ...this.#bids]) {
      row.style.setProperty('--share', String(most ? Math.min(1, Number(row.dataset.sum ?? 0) / Number(most)) : 0));
    }
    const spread = subtract(asks[0]?.price, bids[0]?.price);
    const crossed = depth?.crossed && !this.#choice.value ? ', crossed' : '';
    write(node('ladder-spread'), spread === null ? `Spread ${NOTHING}` : `Spread ${shown(spread, this.#digits.price)}${crossed}`);
    this.paintAges();
  }

  /** Say how old each venue's book is, and which are left out. */
  paintAges() {
    const depth = this.#depth;
    if (!depth) return;
    const since = Date.now() - this.#arrived;
    const ages = depth.venues.map(({ source, age_ms }) => `${source} ${age(age_ms + since, true)} ago`);
    const others = depth.left_out.map(({ source, reason }) => `${source}: ${reason}`);
    write(node('ladder-note'), [ages.join(', '), ...others, depth.reason ?? ''].filter(Boolean).join('. '));
  }

  /** Offer these venues, and keep what was chosen, even while its book is rebuilt. @param {string[]} venues */
  #offer(venues) {
    const chosen = this.#choice.value;
    const names = chosen && !venues.includes(chosen) ? [...venues, chosen] : venues;
    const known = [...this.#choice.options].slice(1).map(({ value }) => value);
    if (names.join() === known.join() || document.activeElement === this.#choice) return;
    this.#choice.replaceChildren(this.#choice.options[0], ...names.map((name) => make('option', { value: name }, name)));
    this.#choice.value = chosen;
  }

  /** @param {Depth | null} depth @returns {{bids: Level[], asks: Level[]}} */
  #levels(depth) {
    const chosen = this.#choice.value;
    if (!depth) return { bids: [], asks: [] };
    if (!chosen) {
      const level = (/** @type {{price: string, size: string, sources: {[source: string]: string}}} */ { price, size, sources }) => ({
        price,
        size,
        who: Object.keys(sources).join(', '),
      });
      return { bids: depth.bids.map(level), asks: depth.asks.map(level) };
    }
    const venue = depth.venues.find(({ source }) => source === chosen);
    const level = (/** @type {[string, string]} */ [price, size]) => ({ price, size, who: chosen });
    return { bids: venue?.bids.map(level) ?? [], asks: venue?.asks.map(level) ?? [] };
  }

  /**
   * Fill the rows of a side, the best level first; return the larger of its sum and `most`.
   *
   * @param {ReturnType<typeof rows>} places
   * @param {Level[]} levels
   * @param {string | null} most
   * @returns {string | null}
   */
  #fill(places, levels, most) {
    /** @type {string | null} */
    let sum = '0';
    for (const [at, { row, price, size, total, who }] of places.entries()) {
      const level = levels[at];
      sum = level ? subtract(sum, `-${level.size}`) : sum;
      writeNumber(price, level?.price, this.#digits.prices(level?.price));
      writeNumber(size, level?.size, this.#digits.sizes(level?.size));
      writeNumber(total, level ? sum : null, this.#digits.size);
      write(who, level?.who ?? '');
      if (who.title !== (level?.who ?? '')) who.title = level?.who ?? '';
      mark(row, 'sum', level ? sum : null);
    }
    return compare(sum, most) === -1 ? most : sum;
  }
}

/** Find the rows of a side, in the template's order. @param {string} id */
function rows(id) {
  return [...node(id).children].map((row) => {
    const [price, size, total, who] = /** @type {HTMLElement[]} */ ([...row.children]);
    return { row: /** @type {HTMLElement} */ (row), price, size, total, who };
  });
}
