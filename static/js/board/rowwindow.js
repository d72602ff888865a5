/**
 * Which rows of the board are in the document: all of them, or, if there are very many, those near the window.
 *
 * @module
 */

import { make, painter } from '../page/paint.js';

/** @typedef {import('./row.js').Row} Row */

/** Up to so many rows are all in the document, so that the browser's own search finds them. */
export const ALL = 300;
/** Rows beyond the window, so that scrolling and the Tab key always find the next ones. */
const MARGIN = 15;

export class RowWindow {
  /** @type {Row[]} sorted */
  #rows = [];
  #height = 0;
  #table;
  #isFolded;
  /** @type {Map<HTMLElement, {above: HTMLElement, below: HTMLElement}>} what stands for the rows that are left out */
  #spaces = new Map();

  /**
   * @param {HTMLTableElement} table
   * @param {(group: HTMLElement) => boolean} isFolded
   */
  constructor(table, isFolded) {
    this.#table = table;
    this.#isFolded = isFolded;
    const show = painter(() => this.#many && this.show());
    addEventListener('scroll', show, { passive: true });
    addEventListener('resize', () => {
      this.#height = 0;
      show();
    });
  }

  get #many() {
    return this.#rows.length > ALL;
  }

  /** Show these rows in this order. @param {Row[]} rows */
  arrange(rows) {
    this.#rows = rows;
    this.show();
  }

  /** The first row that is shown, in the document or not. @returns {Row | undefined} */
  first() {
    for (const body of this.#table.tBodies) {
      const row = this.#rows.find(({ group, element }) => group === body && !element.hidden);
      if (row) return row;
    }
    return undefined;
  }

  /** Measure rows again: their height has changed. */
  remeasure() {
    this.#height = 0;
    this.show();
  }

  /** Bring the document up to date: after sorting, filtering, folding and scrolling. */
  show() {
    /** @type {Map<HTMLElement, Row[]>} */
    const groups = new Map([...this.#table.tBodies].map((body) => [body, []]));
    for (const row of this.#rows) groups.get(row.group)?.push(row);
    if (!this.#many) {
      for (const [body, rows] of groups) this.#attach(body, /** @type {Element} */ (body.firstElementChild), rows);
      return;
    }
    // For screen readers, which find only a part of the rows in the document.
    this.#table.tHead?.rows[0].setAttribute('aria-rowindex', '1');
    let index = 1;
    for (const [body, rows] of groups) {
      if (!body.hidden) index += 1;
      body.firstElementChild?.setAttribute('aria-rowindex', String(index));
      const shown = this.#isFolded(body) ? [] : rows.filter((row) => !row.element.hidden);
      this.#showPart(body, shown, index);
      index += shown.length;
    }
    this.#table.setAttribute('aria-rowcount', String(index));
  }

  /**
   * Show the rows of a group that are near the window.
   *
   * @param {HTMLElement} body
   * @param {Row[]} rows
   * @param {number} index the number of their heading among all rows
   */
  #showPart(body, rows, index) {
    const { above, below } = this.#spacesOf(body);
    if (!this.#height && rows.length) {
      // A row that is shown is left where it is: it may have the focus.
      let sample = rows.find(({ element }) => element.isConnected);
      if (!sample) this.#attach(body, above, [(sample = rows[0])]);
      this.#height = sample.element.offsetHeight;
    }
    const height = this.#height || 1;
    above.hidden = false; // a hidden row has no place
    const top = above.getBoundingClientRect().top;
    const from = clamp(Math.floor(-top / height) - MARGIN, 0, rows.length);
    const to = clamp(Math.ceil((innerHeight - top) / height) + MARGIN, from, rows.length);
    const part = rows.slice(from, to);
    space(above, from * height);
    space(below, (rows.length - to) * height);
    this.#attach(body, above, part);
    for (const [at, { element }] of part.entries()) element.setAttribute('aria-rowindex', String(index + from + at + 1));
  }

  /** @param {HTMLElement} body */
  #spacesOf(body) {
    const known = this.#spaces.get(body);
    if (known) return known;
    // One cell: a span over columns that are not shown would make room for them.
    const empty = () => make('tr', { class: 'space', 'aria-hidden': 'true' }, make('td'));
    const made = { above: empty(), below: empty() };
    body.firstElementChild?.after(made.above, made.below);
    this.#spaces.set(body, made);
    return made;
  }

  /**
   * Let exactly these rows follow `before`; only those out of order are moved.
   *
   * @param {HTMLElement} body
   * @param {Element} before
   * @param {Row[]} rows
   */
  #attach(body, before, rows) {
    const kept = new Set(rows.map(({ element }) => element));
    for (const element of /** @type {NodeListOf<HTMLTableRowElement>} */ (body.querySelectorAll('tr[data-symbol]'))) {
      if (!kept.has(element)) element.remove();
    }
    let last = before;
    for (const { element } of rows) {
      if (last.nextElementSibling !== element) last.after(element);
      last = element;
    }
  }
}

/** @param {HTMLElement} row @param {number} height */
function space(row, height) {
  row.hidden = height === 0;
  row.style.height = `${height}px`;
}

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
