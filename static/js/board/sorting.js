/**
 * Sorting the board by its column headers; the choice is kept in the URL.
 *
 * @module
 */

import { getParam, setParams } from '../page/urlstate.js';
import { compare } from '../text/decimal.js';

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
  return orderOf(a, column ? a.value(column) : null, b, column ? b.value(column) : null, column, down);
}

/**
 * The same for values that are known already.
 *
 * @param {Row} a
 * @param {string | number | null} left
 * @param {Row} b
 * @param {string | number | null} right
 * @param {string} column
 * @param {boolean} down
 * @returns {number}
 */
function orderOf(a, left, b, right, column, down) {
  if (left === null || right === null) return Number(left === null) - Number(right === null) || a.index - b.index;
  let way = 0;
  if (typeof left === 'number') way = left - right;
  else if (TEXTS.has(column)) way = left < right ? -1 : Number(left > right);
  // Numbers of more digits than a float has are equal as floats, and only those need the exact comparison.
  else way = Number(left) - Number(right) || (compare(left, String(right)) ?? 0);
  return (down ? -way : way) || a.index - b.index;
}

export class Sorting {
  #column = '';
  #down = false;
  #sorted = 0;
  #pointed = -Infinity;
  #table;
  #rows;
  #arrange;
  #movers = document.getElementById('movers');

  /**
   * @param {HTMLTableElement} table its head has buttons with `data-column` and `data-first` (`up` or `down`)
   * @param {Map<string, Row>} rows
   * @param {(rows: Row[]) => void} arrange shows the rows in this order
   */
  constructor(table, rows, arrange) {
    this.#arrange = arrange;
    this.#table = table;
    this.#rows = rows;
    const buttons = /** @type {HTMLElement[]} */ ([...table.querySelectorAll('thead button')]);
    const wanted = buttons.find((button) => button.dataset.column === getParam('sort'));
    if (wanted) {
      this.#column = wanted.dataset.column ?? '';
      this.#down = (getParam('order') || wanted.dataset.first) === 'down';
    }
    if (getParam('sort') === 'move') [this.#column, this.#down] = ['move', true];
    for (const button of buttons) button.addEventListener('click', () => this.#choose(button));
    this.#movers?.addEventListener('click', () => this.#chooseMovers());
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

  /** Show what moved most within 24 h first, or the original order again. */
  #chooseMovers() {
    [this.#column, this.#down] = this.#column === 'move' ? ['', false] : ['move', true];
    setParams({ sort: this.#column, order: '' });
    this.#show();
    this.apply();
  }

  /** The column that is sorted by, empty in the original order. */
  get column() {
    return this.#column;
  }

  #show() {
    this.#movers?.setAttribute('aria-pressed', String(this.#column === 'move'));
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

  /** Sort the rows now. */
  apply() {
    this.#sorted = performance.now();
    const column = this.#column;
    const valued = [...this.#rows.values()].map((row) => ({ row, value: column ? row.value(column) : null }));
    valued.sort((a, b) => orderOf(a.row, a.value, b.row, b.value, column, this.#down));
    this.#arrange(valued.map(({ row }) => row));
  }
}
