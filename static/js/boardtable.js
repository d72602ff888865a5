/**
 * The board's table of all instruments, live.
 *
 * @module
 */

import { Favourites } from './favourites.js';
import { Filter } from './filter.js';
import { Live } from './live.js';
import { painter } from './paint.js';
import { reloadIfOthers } from './reload.js';
import { Row } from './row.js';
import { Sorting } from './sorting.js';
import { Sparks } from './sparks.js';
import { Standing } from './standing.js';

/** The hour is fetched anew after a break, but not more often than this. */
const FETCH_MS = 60_000;
/** What could not be fetched is tried again after this. */
const RETRY_MS = 15_000;

class Board {
  /** @type {Map<string, Row>} in the server's order */
  #rows;
  /** @type {Set<string>} never more than there are rows */
  #changed = new Set();
  #everything = false;
  #second = false;
  #sparks = new Sparks();
  #fetched = -Infinity;
  #favourites = new Favourites(() => this.#place());
  #standing = new Standing();
  #sorting;
  #filter;
  #live;
  #ask = painter(() => this.#paint());

  /** Bring the table to life, for as long as the page lives. @param {HTMLTableElement} table */
  constructor(table) {
    const rows = /** @type {HTMLTableRowElement[]} */ ([...table.querySelectorAll('tr[data-symbol]')]);
    this.#rows = new Map(rows.map((row, at) => [row.dataset.symbol ?? '', new Row(row, at)]));
    this.#sorting = new Sorting(table, this.#rows);
    this.#filter = new Filter(table);
    this.#place();
    this.#watch();
    table.addEventListener('click', (event) => {
      const star = event.target instanceof Element ? event.target.closest('.star button') : null;
      // The row moves away at once: the second click of two would meet another one's star.
      if (star instanceof HTMLElement && event.detail < 2) this.#mark(star);
    });
    this.#live = this.#connect();
    // While the tab was hidden nothing was noted; shorter breaks are bridged.
    addEventListener('visibilitychange', () => document.hidden || this.#fetch());
    setInterval(() => {
      this.#second = true;
      this.#ask();
    }, 1_000);
  }

  #connect() {
    return new Live(
      { symbols: 'all', interval_ms: 100, delta: true, candles: null, venues: false },
      {
        quotes: (symbols) => {
          for (const symbol of symbols) if (this.#rows.has(symbol)) this.#changed.add(symbol);
          if (this.#changed.size) this.#ask();
        },
        replaced: () => {
          this.#everything = true;
          this.#fetch();
          this.#ask();
        },
        link: (_, reason) => this.#standing.link(this.#live, reason),
        hello: ({ symbols, sources }) => {
          this.#standing.name(sources);
          reloadIfOthers(new Set(this.#rows.keys()), symbols);
        },
        status: (states) => this.#standing.take(states),
      },
    );
  }

  /** Paint what has changed and is in sight, or is stale now or no more; the rest, ages, lines, order once a second. */
  #paint() {
    const quietly = this.#everything;
    for (const [symbol, row] of this.#rows) {
      const quote = this.#live.quotes.get(symbol);
      const due = row.seen || this.#second || quote?.stale !== row.quote?.stale;
      if (!quietly && !(due && this.#changed.has(symbol))) continue;
      row.paint(quote, quietly);
      row.grow(this.#live.clock);
      this.#changed.delete(symbol);
    }
    this.#everything = false;
    if (quietly || this.#second) this.#grow(quietly);
    this.#second = false;
  }

  /** @param {boolean} anew whether everything was painted */
  #grow(anew) {
    const now = this.#live.clock.now();
    for (const row of this.#rows.values()) {
      row.grow(this.#live.clock);
      const { symbol, quote } = row;
      // Only what is live goes on: an old price must not look like a calm one.
      const live = quote?.price && !quote.stale && this.#live.heard;
      if (live && this.#sparks.note(symbol, /** @type {string} */ (quote.price), now)) row.undrawn = true;
      if (row.undrawn) row.draw(this.#sparks.hour(symbol, now), now);
    }
    this.#sorting.refresh(anew);
  }

  /** Fetch the last hour; what came live before is in it. */
  async #fetch() {
    // The wall clock: it goes on while a machine sleeps. A gateway that has not met its engine has no quotes and no history.
    if (Math.abs(Date.now() - this.#fetched) < FETCH_MS || !this.#live.quotes.size) return;
    this.#fetched = Date.now();
    try {
      const response = await fetch('./history', { headers: { Accept: 'application/json' } });
      if (!response.ok) throw new Error(response.statusText);
      this.#sparks.take((await response.json()).sparks);
      for (const row of this.#rows.values()) row.undrawn = true;
      this.#second = true;
      this.#ask();
    } catch {
      // The lines begin with what comes live, until it can be had.
      setTimeout(() => {
        this.#fetched = -Infinity;
        this.#fetch();
      }, RETRY_MS);
    }
  }

  /** Keep in mind which rows can be seen. */
  #watch() {
    const watch = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          const row = this.#rows.get(target.getAttribute('data-symbol') ?? '');
          if (row) row.seen = isIntersecting;
          if (row && isIntersecting) row.undrawn = true;
        }
        this.#second = true;
        this.#ask();
      },
      { rootMargin: '100px' },
    );
    for (const row of this.#rows.values()) watch.observe(row.element);
  }

  /** Put each row into its group: the favourites, or where it is at home. */
  #place() {
    const favourites = /** @type {HTMLElement} */ (document.getElementById('favourites'));
    for (const row of this.#rows.values()) {
      const marked = this.#favourites.has(row.symbol);
      row.paintStar(marked);
      const group = marked ? favourites : row.home;
      if (row.element.parentElement !== group) group.append(row.element);
    }
    this.#sorting.apply();
    this.#filter.apply();
  }

  /** @param {HTMLElement} star its button */
  #mark(star) {
    this.#favourites.toggle(star.closest('tr')?.dataset.symbol ?? '');
    this.#place();
    // a row that is moved loses it
    star.focus({ preventScroll: true });
  }
}

/** Bring the board's table to life. */
export function startTable() {
  new Board(/** @type {HTMLTableElement} */ (document.querySelector('table.board')));
}
