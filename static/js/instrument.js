/**
 * The page of one instrument, live.
 *
 * @module
 */

import { readAccount } from './account.js';
import { ChangeList } from './changes.js';
import { readChoice, startChoice } from './choice.js';
import { compare, percent, position, subtract } from './decimal.js';
import { announce, showBanner, showLink } from './link.js';
import { Live } from './live.js';
import { Digits, shown as written } from './numbers.js';
import { dim, flash, mark, node, painter, write, writeNumber } from './paint.js';
import { startPicker } from './picker.js';
import { VenueTable } from './venues.js';
import { age, ARROWS, direction, NOTHING, signed, standing } from './words.js';
import { moment } from './zone.js';

/** @typedef {import('./live.js').Quote} Quote */

const main = node('main');
const symbol = main.dataset.symbol ?? '';
const name = main.dataset.name ?? symbol;

const digits = new Digits(main.dataset);
const venueTable = new VenueTable(node('venues'), node('best'), digits);
const changes = new ChangeList(node('changes'));
/** Tickers make one point a second; a market's picture begins to tell something with minutes. */
const usual = 'ticker' in main.dataset ? { interval: '1s', type: 'line' } : { interval: '1m', type: 'candles' };
const choice = readChoice(usual);
/** @type {import('./figure.js').Figure | undefined} not there at first: the page is of use without it */
let figure;
/** @type {Quote | undefined} what is painted */
let shown;
/** @type {Quote | undefined} what is noted in the list of changes */
let noted;
/** @type {import('./live.js').Venues | null} */
let venues = null;
/** @type {import('./words.js').Direction} */
let way = 'same';
let refusal = '';

/** @returns {string} why the price is not live, empty where it is */
function staleReason() {
  const [, meaning] = standing(live.link, live.verdict);
  if (!live.heard) return `${meaning} ${refusal}`.trim();
  const quote = live.quotes.get(symbol);
  if (!quote) return 'The server has sent no price of it yet.';
  if (!quote.stale) return '';
  if (venues?.reason) return `${venues.reason}.`.replace(/\.\.$/, '.');
  return live.link === 'nothing' && meaning ? meaning : 'No source has a live price of it.';
}

function paintState() {
  const reason = staleReason();
  const starting = live.link === 'connecting' || (live.link === 'live' && !live.quotes.has(symbol));
  mark(main, 'stale', reason ? '' : null);
  if (reason) dim(node('price'));
  figure?.stale(starting ? '' : reason);
  node('stale-word').hidden = !reason || starting;
  showBanner(node('banner'), reason && !starting ? `STALE: ${reason}` : '');
  if (!starting) announce(reason ? `${name}: the price is stale. ${reason}` : `${name}: the price is live.`);
}

/** @param {Quote | undefined} quote */
function paintPrice(quote) {
  writeNumber(node('price'), quote?.price, digits.prices(quote?.price, quote?.bid, quote?.ask));
  node('price').style.setProperty('--length', String(node('price').textContent?.length));
  const order = compare(quote?.price, shown?.price);
  if (order) {
    way = order > 0 ? 'up' : 'down';
    flash(node('price'), node('arrow'), way);
  }
  const share = quote?.change_24h;
  const change = share ?? quote?.change_abs_24h ?? null;
  const whither = direction(change);
  mark(node('change'), 'way', change && whither);
  const words = `${ARROWS[whither]} ${signed(change ?? '')}${share ? ' %' : ''} in 24 h`.trim();
  write(node('change'), change ? words : '24 h change not known');
}

/**
 * Say the spread in percent of the ask; nothing for tickers, which are no prices and walk through zero.
 *
 * @param {Quote | undefined} quote
 * @param {string | null} spread
 */
function spreadShare(quote, spread) {
  const share = quote?.base ? percent(spread, quote.ask, 3) : null;
  if (share === null) return '';
  return direction(spread) === 'up' && direction(share) === 'same' ? '< 0.001 %' : `${share} %`;
}

/** @param {Quote | undefined} quote */
function paintFigures(quote) {
  for (const field of /** @type {const} */ (['bid', 'ask', 'open_24h', 'high_24h', 'low_24h'])) {
    writeNumber(node(field), quote?.[field], digits.price);
  }
  const sizes = digits.sizes(quote?.bid_size, quote?.ask_size);
  for (const field of /** @type {const} */ (['bid_size', 'ask_size'])) writeNumber(node(field), quote?.[field], sizes);
  writeNumber(node('volume_24h'), quote?.volume_24h);
  write(node('source'), quote?.source ?? NOTHING);
  const spread = subtract(quote?.ask, quote?.bid);
  writeNumber(node('spread'), spread, digits.price);
  write(node('spread_percent'), spreadShare(quote, spread));
  write(node('time'), moment(quote?.time));
  write(node('received'), moment(quote?.received));
  node('replay').hidden = !quote?.source?.startsWith('replay:');
  const place = position(quote?.price, quote?.low_24h, quote?.high_24h);
  mark(node('range'), 'known', place === null ? 'no' : 'yes');
  if (place !== null) node('range').style.setProperty('--at', String(place));
}

function paintAge() {
  if (document.hidden) return;
  const old = live.clock.age(live.quotes.get(symbol)?.received);
  write(node('age'), old === null ? 'no data yet' : `${age(old, true)} ago`);
  venueTable.grow();
}

/** The title is what a person sees of a hidden tab, so it goes on there: once a second, not per change. */
function paintTitle() {
  const quote = live.quotes.get(symbol);
  const price = quote?.price ? `${staleReason() ? 'STALE' : ARROWS[way]} ${written(quote.price, digits.price)} · `.trimStart() : '';
  const title = `${price}${name} · Crypto Stream`;
  if (document.title !== title) document.title = title;
}

/** Note each new price, whether or not it is painted; the list keeps the last ones only. */
function note() {
  const quote = live.quotes.get(symbol);
  if (quote?.price && quote.price !== noted?.price) {
    changes.price(quote.price, noted?.price ?? null, quote.received, digits.prices(quote.price));
  }
  noted = quote;
}

const ask = painter(() => {
  const quote = live.quotes.get(symbol);
  paintPrice(quote);
  paintFigures(quote);
  paintState();
  venueTable.paint(live.heard);
  changes.paint();
  shown = quote;
  paintAge();
});

const news = () => {
  note();
  ask();
};

const live = new Live(
  { symbols: [symbol], interval_ms: 100, delta: false, candles: choice.interval, venues: true },
  {
    quotes: news,
    replaced: news,
    hello(_, restarted) {
      if (!restarted) return;
      changes.remark('The server has other data from now on.');
      venues = null;
      figure?.repair();
    },
    link(link, reason) {
      refusal = reason;
      showLink(link, live.verdict);
      ask();
    },
    venues(rows) {
      if (rows.symbol !== symbol) return;
      venues = rows;
      venueTable.take(rows);
      ask();
    },
    candles(candles) {
      figure?.take(candles);
    },
    source(change) {
      if (change.symbols.includes(symbol)) changes.source(change);
      ask();
    },
  },
);

/** Where another instrument is, to see the same of it. @param {HTMLElement} named */
const other = ({ dataset }) => `./${dataset.symbol}${location.search}`;
const neighbours = { '[': node('previous'), ']': node('next') };
const aim = () => {
  for (const link of Object.values(neighbours)) link.setAttribute('href', other(link));
};

aim();
startPicker(/** @type {HTMLInputElement} */ (node('pick')), node('choices'), (option) => location.assign(other(option)));
addEventListener('keydown', (event) => {
  const link = neighbours[/** @type {keyof typeof neighbours} */ (event.key)];
  // both together are AltGr
  if (!link || event.metaKey || event.ctrlKey !== event.altKey) return;
  if (document.activeElement?.closest('input, textarea, select')) return;
  link.click();
});
startChoice(node('chart'), choice, usual.type, () => {
  aim();
  live.wish({ candles: choice.interval });
  figure?.choose();
});
// After the first paint: the chart's script is larger than all the rest.
requestAnimationFrame(() => {
  setTimeout(async () => {
    try {
      const { Figure } = await import('./figure.js');
      figure = new Figure(symbol, choice, digits);
      ask();
      showOwn();
    } catch {
      write(node('chart-note'), 'The chart could not be loaded. Load the page again.');
    }
  });
});
/** Mark the trades of this browser's account in the chart, where it has one. */
async function showOwn() {
  const account = readAccount();
  if (!account) return;
  const { followTrades } = await import('./owntrades.js');
  followTrades(symbol, account, (trades) => figure?.own(trades));
}
setInterval(paintAge, 100);
setInterval(paintTitle, 1_000);
