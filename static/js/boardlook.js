/**
 * How the viewer wants the board: which columns, how high its rows, which groups are folded; stored in this browser.
 *
 * @module
 */

import { mark } from './paint.js';
import { ALL } from './rowwindow.js';

const COLUMNS = 'columns-hidden';
const COMPACT = 'compact';
const FOLDED = 'folded';
/** Hidden until somebody chooses them. */
const EXTRA = ['volume', 'high_24h', 'low_24h'];
/** Where there are very many instruments, these come last and are folded at first. */
const LAST = ['tickers'];

/** @param {string} key @param {string[]} usual @returns {string[]} */
function stored(key, usual) {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? 'null');
    return Array.isArray(kept) ? kept.filter((one) => typeof one === 'string') : usual;
  } catch {
    return usual;
  }
}

/** @param {string} key @param {string[]} values */
function store(key, values) {
  try {
    localStorage.setItem(key, JSON.stringify(values));
  } catch {
    // storage is disabled: it lasts until the page is closed
  }
}

export class BoardLook {
  #table;
  #hidden = new Set(stored(COLUMNS, EXTRA));
  #folded;
  #compact = stored(COMPACT, []).length > 0;

  /**
   * @param {HTMLTableElement} table
   * @param {number} count of all instruments
   * @param {{changed: () => void, resized: () => void}} on changed: a group was folded or unfolded; resized: rows have another height
   */
  constructor(table, count, on) {
    this.#table = table;
    this.#folded = new Set(stored(FOLDED, count > ALL ? LAST : []));
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (table.querySelectorAll('.group .fold'))) {
      button.addEventListener('click', () => {
        const { group = '' } = /** @type {HTMLElement} */ (button.closest('tbody')).dataset;
        if (!this.#folded.delete(group)) this.#folded.add(group);
        store(FOLDED, [...this.#folded]);
        this.#show();
        on.changed();
      });
    }
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('#columns input'))) {
      box.checked = box.name === COMPACT ? this.#compact : !this.#hidden.has(box.name);
      box.addEventListener('change', () => {
        this.#choose(box);
        this.#show();
        on.resized();
      });
    }
    this.#show();
  }

  /** Whether a group shows its heading only; what was searched for is shown nevertheless. @param {HTMLElement} group */
  isFolded({ dataset }) {
    return this.#folded.has(dataset.group ?? '') && !('filtered' in this.#table.dataset);
  }

  /** @param {HTMLInputElement} box */
  #choose({ name, checked }) {
    if (name === COMPACT) {
      this.#compact = checked;
      store(COMPACT, checked ? [COMPACT] : []);
      return;
    }
    if (checked) this.#hidden.delete(name);
    else this.#hidden.add(name);
    store(COLUMNS, [...this.#hidden]);
  }

  #show() {
    this.#table.dataset.without = [...this.#hidden].join(' ');
    mark(this.#table, 'compact', this.#compact ? '' : null);
    for (const body of this.#table.tBodies) {
      const folded = this.#folded.has(body.dataset.group ?? '');
      mark(body, 'folded', folded ? '' : null);
      body.querySelector('.fold')?.setAttribute('aria-expanded', String(!folded));
    }
  }
}
