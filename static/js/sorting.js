/**
 * Sorting the board by its column headers; the choice is kept in the URL.
 *
 * @module
 */

import { getParam, setParams } from './urlstate.js';
import { compare } from './decimal.js';

/** @typedef {import('./row.js').Row} Row */

/** Columns compared as text; `age` is compared as a number, all others as exact decimals. */
const TEXTS = new Set(['symbol', 'source']);
/** Rows are sorted at most this often, so that they do not jump about. */
const REST_MS = 1_000;
/** Nor are they while the pointer moves over them, or for this long after. */
const POINTING_MS = 1_500;

/**
 * Compare two rows by a column: unknown values come last in both directions, equal ones keep the original order.
 *
 * @param {Row} a
 * @param {Row} b
 * @param {string} column empty: the original order
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
    const wanted = buttons.find((button) => button.dataset.column === getParam('sort'));
    if (wanted) {
      this.#column = wanted.dataset.column ?? '';
      this.#down = (getParam('order') || wanted.dataset.first) === 'down';
    }
    for (const button of buttons) button.addEventListener('click', () => this.#choose(button));
    for (const body of table.tBodies) {
      body.addEventListener('pointermove', () => (this.#pointed = performance.now()), { passive: true });
    }
    this.#show();
  }

  /** Cycle through the column's first direction, the other one, and the original order. @param {HTMLElement} button */
  #choose(button) {
    const { column = '', first } = button.dataset;
    const begin = first === 'down';
    if (this.#column !== column) [this.#column, this.#down] = [column, begin];
    else if (this.#down === begin) this.#down = !begin;
    else [this.#column, this.#down] = ['', false];
    setParams({ sort: this.#column, order: this.#column && (this.#down ? 'down' : 'up') });
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
   * Sort again after changes, but not too often, nor under the pointer or the keyboard focus.
   *
   * @param {boolean} all whether all values changed, as with the first ones, which must not appear unsorted
   */
  refresh(all) {
    const now = performance.now();
    if (!this.#column || (!all && now - this.#sorted < REST_MS) || now - this.#pointed < POINTING_MS) return;
    if (this.#table.querySelector('tbody :focus-visible')) return;
    this.apply();
  }

  /** Sort the rows of each group now; only those out of order are moved. */
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
