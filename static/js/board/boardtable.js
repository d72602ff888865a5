/**
 * The board's table of all instruments, live.
 *
 * @module
 */

import { BoardLook } from './boardlook.js';
import { Favourites } from './favourites.js';
import { Filter } from '../page/filter.js';
import { Live } from '../live/live.js';
import { painter } from '../page/paint.js';
import { reloadIfOthers } from '../page/reload.js';
import { Row } from './row.js';
import { ALL, RowWindow } from './rowwindow.js';
import { Sorting } from './sorting.js';
import { Sparks } from './sparks.js';
import { BoardStatus } from '../live/boardstatus.js';

/** The last hour is fetched again after a break, but not more often than this. */
const FETCH_MS = 60_000;
/** A failed fetch is retried after this. */
const RETRY_MS = 15_000;

class Board {
  /** @type {Map<string, Row>} in the server's order */
  #rows;
  /** @type {Set<string>} symbols to paint; never more than there are rows */
  #changed = new Set();
  #everything = false;
  #second = false;
  #sparks = new Sparks();
  #fetched = -Infinity;
  #favourites = new Favourites(() => this.#place());
  #status = new BoardStatus();
  #sorting;
  #filter;
  #look;
  #window;
  #live;
  #repaint = painter(() => this.#paint());

  /** Keep the table live until the page is closed. @param {HTMLTableElement} table */
  constructor(table) {
    const rows = /** @type {HTMLTableRowElement[]} */ ([...table.querySelectorAll('tr[data-symbol]')]);
    this.#rows = new Map(rows.map((row, at) => [row.dataset.symbol ?? '', new Row(row, at)]));
    this.#look = new BoardLook(table, rows.length, {
      changed: () => this.#window.show(),
      resized: () => this.#window.remeasure(),
    });
    this.#window = new RowWindow(table, (group) => this.#look.isFolded(group));
    this.#sorting = new Sorting(table, this.#rows, (sorted) => this.#window.arrange(sorted));
    const members = (/** @type {HTMLElement} */ group) =>
      [...this.#rows.values()].filter((row) => row.group === group).map(({ element }) => element);
    const filtered = () => {
      this.#look.show();
      this.#window.show();
    };
    this.#filter = new Filter(table, members, filtered, () => this.#window.first()?.element);
    this.#place();
    this.#watch();
    table.addEventListener('click', (event) => {
      const star = event.target instanceof Element ? event.target.closest('.star button') : null;
      // The row moves immediately: the second click of a double click would hit another row's star.
      if (star instanceof HTMLElement && event.detail < 2) this.#mark(star);
    });
    this.#live = this.#connect();
    // Nothing was recorded while the tab was hidden.
    addEventListener('visibilitychange', () => document.hidden || this.#fetch());
    setInterval(() => {
      this.#second = true;
      this.#repaint();
    }, 1_000);
  }

  #connect() {
    return new Live(
      { symbols: 'all', interval_ms: 100, delta: true, candles: null, venues: false },
      {
        quotes: (symbols) => {
          for (const symbol of symbols) if (this.#rows.has(symbol)) this.#changed.add(symbol);
          if (this.#changed.size) this.#repaint();
        },
        replaced: () => {
          this.#everything = true;
          this.#fetch();
          this.#repaint();
        },
        link: (_, reason) => this.#status.link(this.#live, reason),
        hello: ({ symbols, sources }) => {
          this.#status.showNames(sources);
          reloadIfOthers(new Set(this.#rows.keys()), symbols);
        },
        status: (states) => this.#status.update(states),
      },
    );
  }

  /**
   * Paint changed rows that are visible or whose staleness changed; ages, sparklines and order once a second, and all other
   * rows unless there are very many.
   */
  #paint() {
    const quietly = this.#everything;
    for (const symbol of quietly ? this.#rows.keys() : this.#changed) {
      const row = /** @type {Row} */ (this.#rows.get(symbol));
      const quote = this.#live.quotes.get(symbol);
      const due = quietly || row.seen || (this.#second && this.#few) || quote?.stale !== row.quote?.stale;
      if (due || !this.#few) row.newest = quote; // few rows are in the order of what they show
      if (!due) continue;
      row.paint(quote, quietly);
      row.paintAge(this.#live.clock);
      this.#changed.delete(symbol);
    }
    this.#everything = false;
    if (quietly) this.#window.remeasure(); // rows without values may have been lower
    if (quietly || this.#second) this.#paintSecond(quietly);
    this.#second = false;
  }

  /** Paint what changes with time. @param {boolean} all whether everything was painted */
  #paintSecond(all) {
    const now = this.#live.clock.now();
    const byHour = this.#sorting.column === 'hour';
    for (const row of this.#rows.values()) {
      if (row.seen) row.paintAge(this.#live.clock);
      const { symbol, newest: quote } = row;
      // Only live prices extend the line: a stale price must not look like a quiet market.
      const live = quote?.price && !quote.stale && this.#live.receiving;
      if (live && this.#sparks.note(symbol, /** @type {string} */ (quote.price), now, quote.seq)) row.undrawn = true;
      if (row.undrawn && (row.seen || this.#few)) row.draw(this.#sparks.hour(symbol, now), now);
      else if (byHour) row.compute(this.#sparks.hour(symbol, now));
    }
    this.#sorting.refresh(all);
  }

  /** Whether all rows are in the document, and cheap enough to be kept up to date unseen. */
  get #few() {
    return this.#rows.size <= ALL;
  }

  /** Fetch the last hour, which replaces what was recorded live before. */
  async #fetch() {
    // The wall clock also runs while the machine sleeps. Without quotes the gateway has no engine yet, so no history either.
    if (Math.abs(Date.now() - this.#fetched) < FETCH_MS || !this.#live.quotes.size) return;
    this.#fetched = Date.now();
    try {
      const response = await fetch('./history', { headers: { Accept: 'application/json' } });
      if (!response.ok) throw new Error(response.statusText);
      const { sparks, seq } = await response.json();
      this.#sparks.replace(sparks, seq);
      for (const row of this.#rows.values()) row.undrawn = true;
      this.#second = true;
      this.#repaint();
    } catch {
      // Until the retry succeeds, the sparklines show live prices only.
      setTimeout(() => {
        this.#fetched = -Infinity;
        this.#fetch();
      }, RETRY_MS);
    }
  }

  /** Track which rows are visible. */
  #watch() {
    const watch = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          const row = this.#rows.get(target.getAttribute('data-symbol') ?? '');
          if (row) row.seen = isIntersecting;
          if (row && isIntersecting) row.undrawn = true;
        }
        this.#second = true;
        this.#repaint();
      },
      // Of very many, all that are in the document are kept up to date.
      { rootMargin: this.#few ? '100px' : '800px' },
    );
    for (const row of this.#rows.values()) watch.observe(row.element);
  }

  /** Put each row into the favourites or its own group. */
  #place() {
    const favourites = /** @type {HTMLElement} */ (document.getElementById('favourites'));
    for (const row of this.#rows.values()) {
      const marked = this.#favourites.has(row.symbol);
      row.paintStar(marked);
      row.group = marked ? favourites : row.home;
    }
    this.#sorting.apply();
    this.#filter.apply();
  }

  /** @param {HTMLElement} star its button */
  #mark(star) {
    this.#favourites.toggle(star.closest('tr')?.dataset.symbol ?? '');
    this.#place();
    // moving the row took the focus away
    star.focus({ preventScroll: true });
  }
}

/** Start the live table. */
export function startTable() {
  new Board(/** @type {HTMLTableElement} */ (document.querySelector('table.board')));
}
