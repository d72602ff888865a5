/**
 * How the viewer wants the board: which columns, how high its rows, which groups are folded; stored in this browser.
 *
 * @module
 */

import { mark, painter } from '../page/paint.js';
import { ALL } from './rowwindow.js';

const COLUMNS = 'columns-hidden';
const COMPACT = 'compact';
const FOLDED = 'folded';
/** Hidden until somebody chooses them. */
const EXTRA = ['volume', 'high_24h', 'low_24h'];
/** Where there are very many instruments, these come last and are folded at first. */
const LAST = ['tickers'];
/** Left out, in this order, as long as there is no room for the names of the instruments. */
const SPARED = ['spread', 'ask', 'bid', 'hour', 'low_24h', 'high_24h', 'volume', 'source'];
/** The least room for a name, in rem. */
const NAME = 7;

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
  #boxes = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('#columns input')]);

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
        this.show();
        on.changed();
      });
    }
    for (const box of this.#boxes) {
      box.checked = box.name === COMPACT ? this.#compact : !this.#hidden.has(box.name);
      box.addEventListener('change', () => {
        this.#choose(box);
        this.#fit();
        on.resized();
      });
    }
    closeable(/** @type {HTMLDetailsElement} */ (document.getElementById('columns')));
    addEventListener('resize', painter(() => this.#fit()));
    this.show();
    this.#fit();
  }

  /** Show which groups are folded: after a choice, and after a search begins or ends. */
  show() {
    for (const body of this.#table.tBodies) {
      const folded = this.isFolded(body);
      mark(body, 'folded', folded ? '' : null);
      body.querySelector('.fold')?.setAttribute('aria-expanded', String(!folded));
    }
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

  /** Show the columns that were chosen and have room; the menu says which ones have none. */
  #fit() {
    mark(this.#table, 'compact', this.#compact ? '' : null);
    const without = new Set(this.#hidden);
    mark(this.#table, 'without', [...without].join(' '));
    const width = (/** @type {string} */ column) =>
      /** @type {HTMLElement | null} */ (this.#table.querySelector(`thead .${column}`))?.offsetWidth ?? 0;
    const least = NAME * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    for (const column of SPARED) {
      if (width('symbol') >= least) break;
      if (!width(column)) continue; // it is not shown in a window of this width
      without.add(column);
      mark(this.#table, 'without', [...without].join(' '));
    }
    for (const box of this.#boxes) {
      const squeezed = box.name !== COMPACT && box.checked && !width(box.name);
      mark(/** @type {HTMLElement} */ (box.parentElement), 'squeezed', squeezed ? '' : null);
    }
  }
}

/** Let a menu be closed with Escape, and by pressing anything else. @param {HTMLDetailsElement} menu */
function closeable(menu) {
  menu.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary')?.focus();
  });
  addEventListener('pointerdown', ({ target }) => {
    if (!(target instanceof Node && menu.contains(target))) menu.open = false;
  });
}
