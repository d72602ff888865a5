/**
 * Sorting the board by the buttons in its head, kept in the page's address.
 *
 * @module
 */

import { keep, recall } from './address.js';
import { compare } from './decimal.js';

/** @typedef {import('./row.js').Row} Row */

/** Columns that are compared as text; `age` as numbers; every other one as exact decimals. */
const TEXTS = new Set(['symbol', 'source']);
/** At most this often, so that rows do not jump about. */
const REST_MS = 1_000;
/** Nor while the pointer moves over them, nor this long after. */
const POINTING_MS = 1_500;

/**
 * Compare two rows by a column: what is not known comes last both up and down, equals keep their first order.
 *
 * @param {Row} a
 * @param {Row} b
 * @param {string} column empty: the first order
 * @param {boolean} down
 * @returns {number}
 */
export function order(a, b, column, down) {
  const left = column ? a.value(column) : null;
  const right = column ? b.value(column) : null;
  if (left === null || right === null) return Number(left === null) - Number(right === null) || a.index - b.index;
  let way = 0;
  if (typeof left === 'number') way = left - right;
  else if (TEXTS.has(column)) way = left < right ? -1 : Number(left > right);
  else way = compare(left, right) ?? 0;
  return (down ? -way : way) || a.index - b.index;
}

export class Sorting {
  #column = '';
  #down = false;
  #sorted = 0;
  #pointed = -Infinity;
  #table;
  #rows;

  /**
   * @param {HTMLTableElement} table its head has buttons with `data-column` and `data-first` (`up` or `down`)
   * @param {Map<string, Row>} rows
   */
  constructor(table, rows) {
    this.#table = table;
    this.#rows = rows;
    const buttons = /** @type {HTMLElement[]} */ ([...table.querySelectorAll('thead button')]);
    const wanted = buttons.find((button) => button.dataset.column === recall('sort'));
    if (wanted) {
      this.#column = wanted.dataset.column ?? '';
      this.#down = (recall('order') || wanted.dataset.first) === 'down';
    }
    for (const button of buttons) button.addEventListener('click', () => this.#choose(button));
    for (const body of table.tBodies) {
      body.addEventListener('pointermove', () => (this.#pointed = performance.now()), { passive: true });
    }
    this.#show();
  }

  /** The column's first direction, then the other, then the first order again. @param {HTMLElement} button */
  #choose(button) {
    const { column = '', first } = button.dataset;
    const begin = first === 'down';
    if (this.#column !== column) [this.#column, this.#down] = [column, begin];
    else if (this.#down === begin) this.#down = !begin;
    else [this.#column, this.#down] = ['', false];
    keep({ sort: this.#column, order: this.#column && (this.#down ? 'down' : 'up') });
    this.#show();
    this.apply();
  }

  #show() {
    for (const head of this.#table.querySelectorAll('thead th')) {
      const button = head.querySelector('button');
      if (button && button.dataset.column === this.#column) {
        head.setAttribute('aria-sort', this.#down ? 'descending' : 'ascending');
      } else {
        head.removeAttribute('aria-sort');
      }
    }
  }

  /**
   * Sort again where values may have changed: seldom enough, and not under the pointer or a keyboard's focus.
   *
   * @param {boolean} anew whether all values came at once, as the first ones do: they are not shown unsorted
   */
  refresh(anew) {
    const now = performance.now();
    if (!this.#column || (!anew && now - this.#sorted < REST_MS) || now - this.#pointed < POINTING_MS) return;
    if (this.#table.querySelector('tbody :focus-visible')) return;
    this.apply();
  }

  /** Bring the rows of each group into their order now; only those that are out of it are moved. */
  apply() {
    this.#sorted = performance.now();
    const sorted = [...this.#rows.values()].sort((a, b) => order(a, b, this.#column, this.#down));
    /** @type {Map<Element | null, Element>} */
    const ends = new Map();
    for (const { element } of sorted) {
      const group = element.parentElement;
      const before = ends.get(group) ?? /** @type {Element} */ (group?.firstElementChild);
      if (before.nextElementSibling !== element) before.after(element);
      ends.set(group, element);
    }
  }
}
