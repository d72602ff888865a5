/**
 * The board: every instrument's row, live.
 *
 * @module
 */

import { compare, subtract } from './decimal.js';
import { announce, showBanner, showLink } from './link.js';
import { Live } from './live.js';
import { dim, flash, make, mark, painter, write, writeNumber } from './paint.js';
import { startSearch } from './search.js';
import { age, ARROWS, direction, LINKS, NOTHING, signed } from './words.js';

/** @typedef {import('./live.js').Quote} Quote */

/** One row of the table: its cells, and what they show. */
class Row {
  #row;
  #cells;
  /** @type {Quote | undefined} */
  #shown;

  /** @param {HTMLTableRowElement} row */
  constructor(row) {
    const cell = (/** @type {string} */ name) => /** @type {HTMLElement} */ (row.querySelector(name));
    this.#row = row;
    this.#cells = {
      head: cell('th'),
      price: cell('.price .value'),
      arrow: cell('.price .arrow'),
      change: cell('.change'),
      bid: cell('.bid'),
      ask: cell('.ask'),
      spread: cell('.spread'),
      source: cell('.source .badge'),
      old: cell('.age .old'),
      word: cell('.age .word'),
    };
  }

  /**
   * Paint what differs from what is shown.
   *
   * @param {Quote | undefined} quote undefined: the server has none
   * @param {boolean} quietly without flashing: this is not one change but everything anew
   */
  paint(quote, quietly) {
    const { head, price, arrow, change, bid, ask, spread, source, word } = this.#cells;
    const shown = this.#shown;
    this.#shown = quote;
    writeNumber(price, quote?.price);
    if (!quietly && quote && shown) {
      const way = compare(quote.price, shown.price);
      if (way) flash(price, arrow, way > 0 ? 'up' : 'down');
    }
    if (quote?.change_24h !== shown?.change_24h || quietly) paintChange(change, quote?.change_24h ?? null);
    if (quote?.bid !== shown?.bid || quote?.ask !== shown?.ask || quietly) {
      writeNumber(bid, quote?.bid);
      writeNumber(ask, quote?.ask);
      writeNumber(spread, subtract(quote?.ask, quote?.bid));
    }
    const kind = quote?.synthetic ? 'synthetic' : null;
    write(source, quote?.source ?? 'none');
    mark(source, 'kind', kind);
    mark(head, 'source', quote?.source ?? 'none');
    mark(head, 'kind', kind);
    const stale = !quote || quote.stale;
    if (stale) dim(price);
    mark(this.#row, 'stale', stale ? '' : null);
    write(word, stale ? 'STALE' : '');
  }

  /** @param {import('./clock.js').ServerClock} clock */
  grow(clock) {
    write(this.#cells.old, age(clock.age(this.#shown?.received)));
  }
}

/**
 * @param {HTMLElement} cell
 * @param {string | null} change
 */
function paintChange(cell, change) {
  const way = direction(change);
  mark(cell, 'way', change === null ? null : way);
  write(cell, change === null ? NOTHING : `${ARROWS[way]} ${signed(change)} %`.trim());
}

const rows = new Map(
  [...document.querySelectorAll('tr[data-symbol]')].map((row) => [
    row.getAttribute('data-symbol') ?? '',
    new Row(/** @type {HTMLTableRowElement} */ (row)),
  ]),
);
const banner = /** @type {HTMLElement} */ (document.getElementById('banner'));
const sources = /** @type {HTMLElement} */ (document.getElementById('sources'));
/** @type {Set<string>} never more than there are rows */
const changed = new Set();
let everything = false;
/** @type {import('./live.js').SourceStates} */
let told = {};

const ask = painter(() => {
  const quietly = everything;
  for (const symbol of quietly ? rows.keys() : changed) {
    rows.get(symbol)?.paint(live.quotes.get(symbol), quietly);
    if (!quietly) rows.get(symbol)?.grow(live.clock);
  }
  changed.clear();
  everything = false;
  if (quietly) grow();
});

function grow() {
  if (!document.hidden) for (const row of rows.values()) row.grow(live.clock);
}

/** Show each source's state; unknown while the server cannot be heard. */
function showSources() {
  const states = Object.entries(told).map(([name, { state }]) => [name, live.heard ? state : 'unknown']);
  const shown = JSON.stringify(states);
  if (sources.dataset.shown === shown) return;
  sources.dataset.shown = shown;
  sources.replaceChildren(
    ...states.map(([name, state]) =>
      make(
        'li',
        { class: 'badge state', 'data-state': state },
        make('i', { class: 'dot', 'aria-hidden': 'true' }),
        `${name} `,
        make('span', { class: 'soft' }, state),
      ),
    ),
  );
}

/**
 * The rows were made by the server: ask for them anew when it has other instruments now, at most once a minute.
 *
 * @param {string[]} symbols
 */
function reloadIfOthers(symbols) {
  const same = symbols.length === rows.size && symbols.every((symbol) => rows.has(symbol));
  const last = Number(history.state?.reloaded ?? 0);
  if (same || !symbols.length || Date.now() - last < 60_000) return;
  history.replaceState({ reloaded: Date.now() }, '');
  location.reload();
}

const live = new Live(
  { symbols: 'all', interval_ms: 250, delta: true, candles: null, venues: false },
  {
    quotes(symbols) {
      for (const symbol of symbols) if (rows.has(symbol)) changed.add(symbol);
      ask();
    },
    replaced() {
      everything = true;
      ask();
    },
    link(link, reason) {
      showLink(link);
      showSources();
      const text = link === 'live' ? '' : `${LINKS[link][1]} ${reason} The prices below are not live.`.replace(/ +/g, ' ');
      showBanner(banner, link === 'connecting' ? '' : text);
      announce(link === 'live' ? 'Prices are live.' : text);
    },
    hello: ({ symbols }) => reloadIfOthers(symbols),
    status(states) {
      told = states;
      showSources();
    },
  },
);
setInterval(grow, 1_000);
startSearch();
