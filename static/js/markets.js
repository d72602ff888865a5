/**
 * The markets page: the best bid and ask of each real pair, its index, and each exchange's distance from it.
 *
 * @module
 */

import { BoardStatus } from './boardstatus.js';
import { compare, multiply, percent, subtract } from './decimal.js';
import { direction, NOTHING, signed } from './format.js';
import { Live } from './live.js';
import { Digits } from './numbers.js';
import { make, mark, node, painter, write, writeNumber } from './paint.js';
import { reloadIfOthers } from './reload.js';

/** @typedef {import('./live.js').Best} Best */
/** @typedef {import('./live.js').Index} Index */
/** @typedef {import('./live.js').Venues} Venues */
/** @typedef {{key: string, market: Market, source: string, middle: string | null, spread: string | null, premium: string | null, reason: string}} Premium */

/** The order of the premiums changes no more often than this, so that they can be read. */
const SORT_MS = 1_000;

/** @param {string | null} part @param {string | null} whole @returns {string | null} hundredths of a percent, two decimals */
const bps = (part, whole) => percent(multiply(part, '100'), whole, 2);

/** @param {string | null} bid @param {string | null} ask @returns {string | null} */
function middle(bid, ask) {
  const known = [bid, ask].every((text) => compare(text, '0') === 1);
  return known ? multiply('0.5', subtract(bid, multiply('-1', ask))) : null;
}

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
    const [bid, bidAt, ask, askAt, spread, price, count] = this.#cells;
    const { best, index } = this;
    if (best) {
      const digits = this.digits.prices(best.bid?.price, best.ask?.price);
      writeNumber(bid, best.bid?.price, digits);
      write(bidAt, best.bid?.sources.map(({ source }) => source).join(', ') || NOTHING);
      writeNumber(ask, best.ask?.price, digits);
      write(askAt, best.ask?.sources.map(({ source }) => source).join(', ') || NOTHING);
      const [number, word] = /** @type {HTMLElement[]} */ ([...spread.children]);
      writeNumber(number, best.spread_bps, 2);
      write(word, receiving && best.crossed ? 'crossed' : '');
    }
    if (index) {
      const [number, word] = /** @type {HTMLElement[]} */ ([...price.children]);
      writeNumber(number, index.price, this.digits.prices(index.price));
      write(word, index.stale || !receiving ? 'stale' : '');
      price.title = (index.stale && index.reason) || '';
      write(count, index.stale ? index.reason ?? NOTHING : index.constituents.map(({ source }) => source).join(', '));
    }
  }

  /** @returns {Premium[]} of each exchange that has a top of book */
  premiums() {
    const { index, venues } = this;
    if (!index || !venues) return [];
    const reasons = new Map(index.left_out.map(({ source, reason }) => [source, reason]));
    return venues.sources.flatMap(({ source, bid, ask }) => {
      const mid = middle(bid, ask);
      if (mid === null) return [];
      return [{
        key: `${this.symbol} ${source}`,
        market: this,
        source,
        middle: mid,
        spread: bps(subtract(ask, bid), mid),
        premium: index.stale ? null : bps(subtract(mid, index.price), index.price),
        reason: reasons.get(source) ?? '',
      }];
    });
  }
}

/** The second table: all exchanges of all pairs, those furthest from their index first. */
class PremiumTable {
  #body = node('premiums');
  /** @type {Map<string, {row: HTMLElement, cells: HTMLElement[]}>} */
  #rows = new Map();
  /** @type {string[]} */
  #order = [];
  #sorted = 0;

  /** @param {Premium[]} premiums */
  paint(premiums) {
    const known = new Map(premiums.map((one) => [one.key, one]));
    const same = known.size === this.#order.length && this.#order.every((key) => known.has(key));
    if (!same || Date.now() - this.#sorted >= SORT_MS) this.#sort(premiums);
    for (const key of this.#order) this.#fill(/** @type {Premium} */ (known.get(key)));
  }

  /** @param {Premium[]} premiums */
  #sort(premiums) {
    const distance = (/** @type {Premium} */ one) => one.premium?.replace('-', '') ?? '-1';
    const order = premiums.toSorted((one, other) => compare(distance(other), distance(one)) ?? 0).map(({ key }) => key);
    this.#sorted = Date.now();
    if (order.join('|') === this.#order.join('|')) return;
    const rows = new Map(order.map((key) => [key, this.#rows.get(key) ?? build()]));
    this.#rows = rows;
    this.#order = order;
    const empty = make('tr', {}, make('td', { colspan: '6' }, 'No exchange has sent a price yet.'));
    this.#body.replaceChildren(...(order.length ? [...rows.values()].map(({ row }) => row) : [empty]));
  }

  /** @param {Premium} one */
  #fill(one) {
    const [name, at, mid, spread, premium, reason] = this.#rows.get(one.key)?.cells ?? [];
    const { digits } = one.market;
    write(name, one.market.name);
    write(at, one.source);
    writeNumber(mid, one.middle, digits.price);
    writeNumber(spread, one.spread, 2);
    write(premium, one.premium === null ? NOTHING : signed(one.premium));
    mark(premium, 'way', one.premium === null ? null : direction(one.premium));
    write(reason, one.reason);
  }
}

/** Build a row of the second table with empty cells. */
function build() {
  const cells = [
    make('th', { scope: 'row' }),
    ...['at', 'middle', 'spread', 'premium', 'at'].map((name) => make('td', { class: name })),
  ];
  return { row: make('tr', {}, ...cells), cells };
}

const body = node('markets');
const elements = /** @type {HTMLElement[]} */ ([...body.querySelectorAll('tr')]);
const markets = new Map(elements.map((row) => [row.dataset.symbol ?? '', new Market(row)]));
const all = new Set((body.dataset.symbols ?? '').split(' ').filter(Boolean));
const table = new PremiumTable();
const boardStatus = new BoardStatus();

const repaint = painter(() => {
  for (const market of markets.values()) market.paint(live.receiving);
  table.paint([...markets.values()].flatMap((market) => market.premiums()));
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
setInterval(repaint, SORT_MS);
