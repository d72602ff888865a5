/**
 * The page of one instrument, live.
 *
 * @module
 */

import { readAccount } from './page/account.js';
import { ChangeList } from './instrument/changes.js';
import { readChoice, startChoice } from './instrument/choice.js';
import { compare, percent, position, subtract } from './text/decimal.js';
import { announce, showBanner, showLink } from './live/link.js';
import { Live } from './live/live.js';
import { whenNear } from './page/near.js';
import { Digits, shown as written } from './text/numbers.js';
import { dim, flash, mark, node, painter, write, writeNumber } from './page/paint.js';
import { startPicker } from './page/picker.js';
import { VenueTable } from './live/venues.js';
import { age, ARROWS, describeLink, direction, NOTHING, signed } from './text/format.js';
import { moment } from './zone.js';

/** @typedef {import('./live/live.js').Quote} Quote */

const main = node('main');
const symbol = main.dataset.symbol ?? '';
const name = main.dataset.name ?? symbol;

const digits = new Digits(main.dataset);
const venueTable = new VenueTable(node('venues'), node('best'), digits);
const changes = new ChangeList(node('changes'));
/** Tickers change every second; for markets, one-minute candles are more useful. */
const usual = 'ticker' in main.dataset ? { interval: '1s', type: 'line' } : { interval: '1m', type: 'candles' };
const choice = readChoice(usual);
// Generated prices have no index.
if (!document.querySelector('[data-of]')) choice.of = '';
/** @returns {string} the bars that the server is to send */
const candles = () => (choice.of ? `${choice.of}:${choice.interval}` : choice.interval);
/** @type {import('./instrument/chartpanel.js').ChartPanel | undefined} loaded after the first paint */
let panel;
/** @type {import('./live/ladder.js').Ladder | undefined} loaded when its place comes near the window */
let ladder;
/** @type {Quote | undefined} as painted */
let shown;
/** @type {Quote | undefined} as recorded in the list of changes */
let noted;
/** @type {import('./live/live.js').Venues | null} */
let venues = null;
/** @type {import('./text/format.js').Direction} */
let way = 'same';
let refusal = '';

/** @returns {string} why the price is not live, empty if it is */
function staleReason() {
  const [, meaning] = describeLink(live.link, live.verdict);
  if (!live.receiving) return `${meaning} ${refusal}`.trim();
  const quote = live.quotes.get(symbol);
  if (!quote) return 'The server has sent no price for it yet.';
  if (!quote.stale) return '';
  if (venues?.reason) return `${venues.reason}.`.replace(/\.\.$/, '.');
  return live.link === 'nothing' && meaning ? meaning : 'No source has a live price for it.';
}

function paintState() {
  const reason = staleReason();
  const starting = live.link === 'connecting' || (live.link === 'live' && !live.quotes.has(symbol));
  mark(main, 'stale', reason ? '' : null);
  if (reason) dim(node('price'));
  panel?.stale(starting ? '' : reason);
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
  const sign = direction(change);
  mark(node('change'), 'way', change && sign);
  const words = `${ARROWS[sign]} ${signed(change ?? '')}${share ? ' %' : ''} in 24 h`.trim();
  write(node('change'), change ? words : '24 h change unknown');
}

/**
 * Format the spread in percent of the ask; empty for tickers, which are random walks.
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
  venueTable.paintAges();
  ladder?.paintAges();
}

/** The title is all that is visible of a background tab, so it is updated there too, once a second. */
function paintTitle() {
  const quote = live.quotes.get(symbol);
  const price = quote?.price ? `${staleReason() ? 'STALE' : ARROWS[way]} ${written(quote.price, digits.price)} · `.trimStart() : '';
  const title = `${price}${name} · Crypto Stream`;
  if (document.title !== title) document.title = title;
}

/** Record each new price, painted or not; the list keeps only the latest. */
function note() {
  const quote = live.quotes.get(symbol);
  if (quote?.price && quote.price !== noted?.price) {
    changes.price(quote.price, noted?.price ?? null, quote.received, digits.prices(quote.price));
  }
  noted = quote;
}

const repaint = painter(() => {
  const quote = live.quotes.get(symbol);
  paintPrice(quote);
  paintFigures(quote);
  paintState();
  venueTable.paint(live.receiving);
  ladder?.paint(live.receiving);
  changes.paint();
  shown = quote;
  paintAge();
});

const changed = () => {
  note();
  repaint();
};

const live = new Live(
  { symbols: [symbol], interval_ms: 100, delta: false, candles: candles(), venues: true },
  {
    quotes: changed,
    replaced: changed,
    hello({ symbols }, restarted) {
      // removed: the server then says so at this address
      if (symbols.length && !symbols.includes(symbol)) location.reload();
      if (!restarted) return;
      changes.remark('The server has a new data set.');
      venues = null;
      panel?.repair();
    },
    link(link, reason) {
      refusal = reason;
      showLink(link, live.verdict);
      repaint();
    },
    venues(rows) {
      if (rows.symbol !== symbol) return;
      venues = rows;
      venueTable.update(rows);
      repaint();
    },
    depth(depth) {
      if (depth.symbol !== symbol) return;
      ladder?.update(depth);
      repaint();
    },
    candles(bars) {
      panel?.take(bars);
    },
    source(change) {
      if (change.symbols.includes(symbol)) changes.source(change);
      repaint();
    },
  },
);

/** The URL of another instrument with the same chart settings. @param {HTMLElement} named */
const other = ({ dataset }) => `./${dataset.symbol}${location.search}`;
const neighbours = { '[': node('previous'), ']': node('next') };
const aim = () => {
  for (const link of Object.values(neighbours)) link.setAttribute('href', other(link));
};

aim();
startPicker(
  /** @type {HTMLInputElement} */ (node('pick')),
  node('choices'),
  (option) => location.assign(other(option)),
  async () => (await import('./instrument/choices.js')).fillChoices(node('choices'), symbol),
);
addEventListener('keydown', (event) => {
  const link = neighbours[/** @type {keyof typeof neighbours} */ (event.key)];
  // both together are AltGr
  if (event.metaKey || event.ctrlKey !== event.altKey || document.activeElement?.closest('input, textarea, select')) return;
  link?.click();
});
startChoice(node('chart'), choice, usual.type, () => {
  aim();
  live.resubscribe({ candles: candles() });
  panel?.choose();
});
// After the first paint: the chart library is larger than everything else.
requestAnimationFrame(() => setTimeout(showChart));
// Generated prices have no order book.
const book = document.getElementById('ladder');
if (book) {
  whenNear(book, async () => {
    const { Ladder } = await import('./live/ladder.js');
    ladder = new Ladder(digits, (seen) => live.resubscribe({ topics: seen ? ['depth'] : [] }));
  });
}

/** Load the chart, then mark the trades of this browser's account in it, if it has one. */
async function showChart() {
  try {
    panel = new (await import('./instrument/chartpanel.js')).ChartPanel(symbol, choice, digits);
    repaint();
  } catch {
    write(node('chart-note'), 'The chart could not be loaded. Reload the page.');
    return;
  }
  const account = readAccount();
  if (account) (await import('./instrument/owntrades.js')).followTrades(symbol, account, (trades) => panel?.own(trades));
}
setInterval(paintAge, 100);
setInterval(paintTitle, 1_000);
