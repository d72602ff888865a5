/**
 * The orders page: the ticket, the account's orders and its positions, live.
 *
 * @module
 */

import { startAccount } from './orders/accountbox.js';
import { getParam } from './page/urlstate.js';
import { Cancelling } from './orders/cancelling.js';
import { announce, showBanner, showLink, showTitle } from './live/link.js';
import { Live } from './live/live.js';
import { OrderError, OrderLink, ORDERS, TRADES } from './orders/orderlink.js';
import { Orders } from './orders/ordermodel.js';
import { words } from './orders/orderrow.js';
import { OrderTable } from './orders/ordertable.js';
import { whenNear } from './page/near.js';
import { Digits } from './text/numbers.js';
import { node, painter, write } from './page/paint.js';
import { reloadIfOthers } from './page/reload.js';
import { fold } from './text/search.js';
import { Ticket } from './orders/ticket.js';
import { describeLink } from './text/format.js';

/** @typedef {import('./orders/positions.js').Instrument} Instrument */

/** A failed request is repeated after this. */
const RETRY_MS = 2_000;
/** After trades, the positions are requested at most this often. */
const POSITIONS_MS = 500;
/** The reason for a stale quote is fetched at most this often. */
const REASON_MS = 3_000;

/** @type {Map<string, Instrument>} by folded symbol, in the server's order */
const instruments = new Map(
  [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#choices [role=option]'))].map(({ dataset }) => {
    const { symbol = '', name = symbol, base = '', unit = '' } = dataset;
    return [fold(symbol), { symbol, name, base, unit, synthetic: 'synthetic' in dataset, steps: dataset }];
  }),
);
const describe = (/** @type {{instrument: string}} */ { instrument }) =>
  instruments.get(fold(instrument)) ?? { symbol: instrument, name: instrument };
const first = (instruments.get(fold(getParam('instrument'))) ?? instruments.values().next().value)?.symbol ?? '';

const orders = new Orders();
/** @type {import('./orders/positions.js').PositionTable | undefined} loaded with the first position */
let positions;
/** @type {import('./live/ladder.js').Ladder | undefined} loaded when its place comes near the window */
let ladder;
/** the symbol that the order book is of */
let booked = '';
let trouble = '';
let refusal = '';
let followed = first;
let fetching = 0;
let again = 0;
/** @type {Promise<boolean> | undefined} the pending request for the list */
let listing;
/** why the quote of an instrument is stale, and when the reason was fetched */
const why = { symbol: '', reason: '', requestedAt: -Infinity };

const live = new Live(
  { symbols: first ? [first] : 'all', interval_ms: 250, delta: true, candles: null, venues: false },
  {
    quotes: () => repaint(),
    replaced: () => repaint(),
    link(_, reason) {
      refusal = reason;
      repaint();
    },
    hello({ symbols }, restarted) {
      reloadIfOthers(new Set([...instruments.values()].map(({ symbol }) => symbol)), symbols);
      if (restarted) sync();
    },
  },
);

const account = startAccount((id) => {
  orders.clear();
  table.clear();
  positions?.update([]);
  link.switchAccount(id);
  repaint();
});

const link = new OrderLink(account, {
  state(state) {
    trouble = ''; // it was that of another connection
    if (state === 'live') sync();
    repaint();
  },
  report: (report) => onReport(report),
  refused(_, reason) {
    trouble = reason;
    later();
    repaint();
  },
});

const cancelling = new Cancelling(orders, { request: (type, message) => link.request(type, message), sync, notify });
const table = new OrderTable(orders, describe, (id, row) => cancelling.one(id, row));
const ticket = new Ticket(instruments, {
  request: (type, message) => link.request(type, message),
  look: (symbol) => ({ quote: live.quotes.get(symbol), reason: staleReason(symbol) }),
  async placed(id) {
    while (!(await sync())) await new Promise((later) => setTimeout(later, RETRY_MS));
    return orders.named(id) !== undefined;
  },
  chosen() {
    follow();
    showBook();
  },
});

/** @param {string} symbol @returns {string} why orders in it cannot trade now, empty if they can */
function staleReason(symbol) {
  if (live.link === 'connecting') return 'waiting for the first quote.';
  if (!live.receiving) return `${describeLink(live.link, live.verdict)[1]} ${live.link === 'refused' ? refusal : ''}`.trim();
  const quote = live.quotes.get(symbol);
  if (!quote) return 'the server has sent no price for it yet.';
  if (!quote.stale) {
    if (why.symbol === symbol) Object.assign(why, { symbol: '', reason: '' }); // the next outage has its own reason
    return '';
  }
  askReason(symbol);
  return why.symbol === symbol && why.reason ? `${why.reason}.`.replace(/\.\.$/, '.') : 'no source has a live price for it.';
}

/** @param {string} symbol */
async function askReason(symbol) {
  const now = performance.now();
  if (why.symbol === symbol && now - why.requestedAt < REASON_MS) return;
  Object.assign(why, { symbol, reason: why.symbol === symbol ? why.reason : '', requestedAt: now });
  const found = await fetch(`./venues/${symbol}`, { headers: { Accept: 'application/json' } })
    .then((response) => response.json())
    // the page already says that it is offline
    .catch(() => null);
  // An error response has a detail, and replaces the earlier reason.
  if (why.symbol === symbol) why.reason = found?.reason ?? found?.detail ?? '';
  repaint();
}

/** Request everything again, once at a time; resolves to whether it succeeded. */
function sync() {
  listing ??= list().finally(() => (listing = undefined));
  return listing;
}

function later() {
  clearTimeout(again);
  again = setTimeout(sync, RETRY_MS);
}

async function list() {
  orders.expect();
  try {
    const answer = await link.request(ORDERS, {});
    orders.list(answer.orders);
    trouble = '';
    table.ready = true;
    table.refresh();
    askPositions();
    return true;
  } catch (error) {
    if (!(error instanceof OrderError)) throw error;
    // it is requested again after the reconnect
    if (link.state !== 'live') return false;
    trouble = error.message;
    later();
    return false;
  } finally {
    repaint();
  }
}

function askPositions() {
  fetching ||= setTimeout(async () => {
    fetching = 0;
    // everything is requested again after a reconnect
    const answer = await link.request(TRADES, {}).catch(() => null);
    if (!answer) return;
    if (answer.positions.length && !positions) {
      const { PositionTable } = await import('./orders/positions.js');
      positions = new PositionTable(node('positions'), node('no-positions'), instruments);
    }
    positions?.update(answer.positions);
    follow();
    repaint();
  }, POSITIONS_MS);
}

/** Apply a report, and announce what it means. @param {import('./orders/orderlink.js').Report} report */
function onReport(report) {
  const order = orders.report(report);
  table.refresh();
  repaint();
  const what = words(order, describe(order).name);
  if (report.exec_type === 'trade') {
    askPositions();
    const left = /[1-9]/.test(report.leaves_amount) ? `, ${report.leaves_amount} remaining` : '';
    notify(`Traded ${report.last_amount} at ${report.last_price}${left}: ${what}.`);
  } else if (report.exec_type !== 'new') {
    const end = report.exec_type === 'canceled' ? 'Cancelled' : 'Rejected';
    notify(`${end}: ${what}${report.reason ? ` (${report.reason})` : ''}.`);
  }
}

/** @param {string} text */
function notify(text) {
  write(node('notice'), text);
  announce(text);
}

/** Subscribe to the instruments of the ticket and of the positions. */
function follow() {
  const symbols = [...new Set([ticket.symbol, ...(positions?.symbols ?? [])])].filter(Boolean).sort();
  if (!symbols.length || symbols.join() === followed) return;
  followed = symbols.join();
  live.resubscribe({ symbols });
}

/**
 * The book has a connection of its own: this page's subscribes to the instruments of all positions.
 *
 * @type {Live | undefined}
 */
let book;

async function loadLadder() {
  const { Ladder } = await import('./live/ladder.js');
  book = new Live(
    { symbols: [ticket.symbol], interval_ms: 250, delta: true, candles: null, topics: [] },
    {
      quotes() {},
      replaced() {},
      link: () => ladder?.paint(Boolean(book?.receiving)),
      depth(depth) {
        if (depth.symbol !== ticket.symbol) return;
        ladder?.update(depth);
        ladder?.paint(true);
      },
    },
  );
  ladder = new Ladder(new Digits({}), (seen) => book?.resubscribe({ topics: seen ? ['depth'] : [] }));
  showBook();
  setInterval(() => ladder?.paintAges(), 1_000);
}

/** Show the book of the ticket's instrument; generated prices have none. */
function showBook() {
  const chosen = instruments.get(fold(ticket.symbol));
  node('ladder').hidden = !chosen || Boolean(chosen.synthetic);
  if (!ladder || !chosen || booked === chosen.symbol) return;
  booked = chosen.symbol;
  book?.resubscribe({ symbols: [booked] });
  ladder.change(new Digits(chosen.steps));
}

/** Show the worse of the two connections, that of quotes and that of orders. */
function showState() {
  const both = live.link === 'live' || live.link === 'connecting';
  const shown = both && link.state !== 'live' ? link.state : live.link;
  showLink(shown, live.verdict);
  showTitle(shown);
  let text = trouble && `Orders unavailable: ${trouble}`;
  if (shown === 'nothing') text ||= describeLink(shown, live.verdict)[1];
  if (link.state !== 'live') text = `${describeLink(link.state, null)[1]} Orders cannot be placed or cancelled, and what you see may be out of date.`;
  if (link.state === 'connecting') text = '';
  showBanner(node('banner'), text);
  if (text) announce(text);
}

const repaint = painter(() => {
  showState();
  ticket.paint();
  cancelling.paint();
  positions?.paint((symbol) => {
    const quote = live.quotes.get(symbol);
    return quote && { bid: quote.bid, ask: quote.ask, stale: quote.stale || !live.receiving };
  });
});

addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof Element && event.target.closest('input, textarea, select')) return;
  event.preventDefault();
  ticket.focus();
});
ticket.choose(first);
whenNear(node('ladder'), loadLadder);
