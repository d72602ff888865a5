/**
 * The list of an instrument's latest changes: prices and switches of its source.
 *
 * @module
 */

import { subtract } from '../text/decimal.js';
import { shown } from '../text/numbers.js';
import { make, mark, writeNumber } from '../page/paint.js';
import { ARROWS, direction, signed } from '../text/format.js';
import { moment } from '../zone.js';

/** Older entries are removed. */
const MOST = 20;

export class ChangeList {
  #list;
  /** @type {HTMLElement[]} entries not yet painted, newest first, at most MOST */
  #fresh = [];

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Add a new price.
   *
   * @param {string} price
   * @param {string | null} before
   * @param {number | null} time ms since the epoch
   * @param {number} digits
   */
  price(price, before, time, digits) {
    const step = before === null ? null : subtract(price, before);
    const way = direction(step);
    const delta = make('span', { class: 'step' }, step === null ? '' : `${ARROWS[way]} ${signed(shown(step, digits))}`);
    mark(delta, 'way', way);
    const value = make('span', { class: 'value' });
    writeNumber(value, price, digits);
    this.#note(make('li', {}, make('time', {}, moment(time)), value, delta));
  }

  /** Add a switch of the source. @param {import('../live/live.js').Switch} change */
  source(change) {
    this.remark(`Source: ${change.from ?? 'none'} → ${change.to ?? 'none'} (${change.reason})`, change.time);
  }

  /** Add a remark. @param {string} words @param {number} time ms since the epoch */
  remark(words, time = Date.now()) {
    this.#note(make('li', { class: 'switched' }, make('time', {}, moment(time)), make('span', {}, words)));
  }

  /** @param {HTMLElement} entry */
  #note(entry) {
    this.#fresh.unshift(entry);
    this.#fresh.length = Math.min(this.#fresh.length, MOST);
  }

  paint() {
    if (!this.#fresh.length) return;
    this.#list.querySelector('.empty')?.remove();
    this.#list.prepend(...this.#fresh);
    this.#fresh = [];
    while (this.#list.children.length > MOST) this.#list.lastElementChild?.remove();
  }
}
