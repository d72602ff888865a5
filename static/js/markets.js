/**
 * The markets page: the best bid and ask of each real pair, its index, and each venue's distance from it.
 *
 * @module
 */

import { BoardStatus } from './live/boardstatus.js';
import { compare, multiply, percent, subtract } from './text/decimal.js';
import { direction, NOTHING, signed } from './text/format.js';
import { Live } from './live/live.js';
import { Digits } from './text/numbers.js';
import { make, mark, node, painter, write, writeNumber } from './page/paint.js';
import { reloadIfOthers } from './page/reload.js';

/** @typedef {import('./live/live.js').Best} Best */
/** @typedef {import('./live/live.js').BestSide} BestSide */
/** @typedef {import('./live/live.js').Index} Index */
/** @typedef {import('./live/live.js').Venues} Venues */
/** @typedef {{key: string, market: Market, venue: string, price: string | null, spread: string | null, premium: string | null, stale: boolean, note: string}} Premium */

/** The order of the premiums changes no more often than this, so that they can be read. */
const SORT_MS = 1_000;
/** Nor does it while the pointer moves over them or the page scrolls, or for this long after. */
const POINTING_MS = 1_500;

/** @param {string | null} part @param {string | null} whole @returns {string | null} hundredths of a percent, two decimals */
const bps = (part, whole) => percent(multiply(part, '100'), whole, 2);

/** @param {string | null} bid @param {string | null} ask @returns {string | null} */
function middle(bid, ask) {
  const known = [bid, ask].every((text) => compare(text, '0') === 1);
  return known ? multiply('0.5', subtract(bid, multiply('-1', ask))) : null;
}

/** @param {Element} cell @returns {HTMLElement[]} its number, and the words beside it */
const parts = (cell) => /** @type {HTMLElement[]} */ ([...cell.children]);

/** One pair: its row in the first table, and what is known of it. */
class Market {
  /** @type {Best | null} */
  best = null;
  /** @type {Index | null} */
  index = null;
  /** @type {Venues | null} */
  venues = null;
  #cells;

  /** @param {HTMLElement} row */
  constructor(row) {
    this.symbol = row.dataset.symbol ?? '';
    this.name = row.dataset.name ?? '';
    this.digits = new Digits(row.dataset);
    this.#cells = /** @type {HTMLElement[]} */ ([...row.children].slice(1));
  }

  /** @param {boolean} receiving whether the server is sending, so that the values are current */
  paint(receiving) {
    const [bid, ask, spread, price, note] = this.#cells;
    const { best, index } = this;
    if (best) {
      this.#paintSide(bid, best.bid);
      this.#paintSide(ask, best.ask);
      const [number, word] = parts(spread);
      writeNumber(number, best.spread_bps, 2);
      write(word, receiving && best.crossed ? 'crossed' : '');
    }
    if (index) {
      const stale = index.stale || !receiving;
      const [number, word] = parts(price);
      writeNumber(number, index.price, this.digits.prices(index.price));
      write(word, stale ? 'stale' : '');
      mark(price, 'stale', stale ? '' : null);
    }
    write(note, this.#note());
  }

  /** @param {Element} cell @param {BestSide | null} side */
  #paintSide(cell, side) {
    const [number, venues] = parts(cell);
    writeNumber(number, side?.price, this.digits.prices(side?.price));
    write(venues, side?.sources.map(({ source }) => source).join(', ') ?? '');
  }

  /** @returns {string} what the index is made of, or why there is no index, or no best price */
  #note() {
    const { best, index } = this;
    const made = index?.stale ? index.reason : index?.constituents.map(({ source }) => source).join(', ');
    const reasons = new Set([made, best?.reason].filter(Boolean));
    return [...reasons].join('; ');
  }

  /** @returns {Premium[]} of each venue of this pair */
  premiums() {
    const { index, venues } = this;
    if (!index || !venues) return [];
    const reasons = new Map(index.left_out.map(({ source, reason }) => [source, reason]));
    const trades = new Map(index.constituents.filter(({ by }) => by === 'trade').map(({ source, price }) => [source, price]));
    return venues.sources.map(({ source: venue, bid, ask, stale }) => {
      const trade = trades.get(venue);
      const mid = trade ? null : middle(bid, ask);
      const price = trade ?? mid;
      return {
        key: `${this.symbol} ${venue}`,
        market: this,
        venue,
        price,
        spread: mid && bps(subtract(ask, bid), mid),
        premium: index.stale ? null : bps(subtract(price, index.price), index.price),
        stale,
        note: reasons.has(venue) ? `not in the index: ${reasons.get(venue)}` : trade ? 'in the index with its last trade' : '',
      };
    });
  }
}

/** The second table: all venues of all pairs, those furthest from their index first. */
class PremiumTable {
  #body = node('premiums');
  /** @type {Map<string, {row: HTMLElement, cells: HTMLElement[]}>} in the order shown */
  #rows = new Map();
  #sorted = -Infinity;
  #pointed = -Infinity;

  constructor() {
    const rest = () => (this.#pointed = performance.now());
    this.#body.addEventListener('pointermove', rest, { passive: true });
    addEventListener('scroll', rest, { passive: true }); // a finger that scrolls does not point
  }

  /** @param {Premium[]} premiums */
  paint(premiums) {
    const now = performance.now();
    const same = premiums.length === this.#rows.size && premiums.every(({ key }) => this.#rows.has(key));
    if (!same || (now - this.#sorted >= SORT_MS && now - this.#pointed >= POINTING_MS)) {
      this.#sorted = now;
      this.#arrange(premiums);
    }
    for (const one of premiums) this.#fill(one);
  }

  /** @param {Premium[]} premiums */
  #arrange(premiums) {
    const distance = (/** @type {Premium} */ one) => one.premium?.replace('-', '') ?? '-1';
    const order = premiums.toSorted((one, other) => compare(distance(other), distance(one)) ?? 0).map(({ key }) => key);
    if (order.length && order.join('|') === [...this.#rows.keys()].join('|')) return;
    this.#rows = new Map(order.map((key) => [key, this.#rows.get(key) ?? build()]));
    this.#body.replaceChildren(...[...this.#rows.values()].map(({ row }) => row));
  }

  /** @param {Premium} one */
  #fill(one) {
    const { row, cells } = this.#rows.get(one.key) ?? build();
    const [name, venue, price, spread, premium, note] = cells;
    mark(row, 'stale', one.stale ? '' : null);
    write(name, one.market.name);
    write(venue, one.venue);
    writeNumber(price, one.price, one.market.digits.price);
    writeNumber(spread, one.spread, 2);
    write(premium, one.premium === null ? NOTHING : signed(one.premium));
    mark(premium, 'way', one.premium === null ? null : direction(one.premium));
    write(note, one.note);
  }
}

/** Build a row of the second table with empty cells, as the template does. */
function build() {
  const cell = (/** @type {string} */ name, /** @type {{[name: string]: string}} */ more = {}) => make('td', { role: 'cell', class: name, ...more });
  const cells = [
    make('th', { role: 'rowheader', scope: 'row' }),
    cell('venue'),
    cell('middle', { 'data-label': 'Price' }),
    cell('spread', { 'data-label': 'Spread, bps' }),
    cell('premium', { 'data-label': 'Premium, bps' }),
    cell('note'),
  ];
  return { row: make('tr', { role: 'row' }, ...cells), cells };
}

const body = node('markets');
const elements = /** @type {HTMLElement[]} */ ([...body.querySelectorAll('tr')]);
const markets = new Map(elements.map((row) => [row.dataset.symbol ?? '', new Market(row)]));
const all = new Set((body.dataset.symbols ?? '').split(' ').filter(Boolean));
const table = new PremiumTable();
const boardStatus = new BoardStatus();

const repaint = painter(() => {
  for (const market of markets.values()) market.paint(live.receiving);
  const known = [...markets.values()].every(({ index, venues }) => index && venues);
  // Until all are known, the rows of the template keep their place.
  if (known) table.paint([...markets.values()].flatMap((market) => market.premiums()));
});

/** @param {'best' | 'index' | 'venues'} topic */
const taker = (topic) => (/** @type {any} */ value) => {
  const market = markets.get(value.symbol);
  if (market) market[topic] = value;
  repaint();
};

const live = new Live(
  { symbols: [...markets.keys()], interval_ms: 1_000, delta: true, candles: null, topics: markets.size ? ['best', 'index', 'venues'] : [] },
  {
    quotes() {},
    replaced: repaint,
    link(_, reason) {
      boardStatus.link(live, reason);
      repaint();
    },
    hello({ symbols, sources }) {
      boardStatus.showNames(sources);
      reloadIfOthers(all, symbols);
    },
    status: (states) => boardStatus.update(states),
    best: taker('best'),
    index: taker('index'),
    venues: taker('venues'),
  },
);
// What has stopped changing is sorted, too, once the pointer rests.
setInterval(repaint, SORT_MS);
