/**
 * The status page: what the system says of itself.
 *
 * @module
 */

import { gateways, samples } from './figures.js';
import { announce, showBanner, showLink, showTitle } from './link.js';
import { Live } from './live.js';
import { make, mark, node, painter, write } from './paint.js';
import { SourceCards } from './sourcecards.js';
import { Switcher } from './switcher.js';
import { Timeline } from './timeline.js';
import { NOTHING, standing } from './words.js';
import { when, zone } from './zone.js';

/**
 * @typedef {{reachable: boolean, epoch: string | null, seq: number, lag_ms: number | null, quotes: number, quotes_live: number,
 *   history_trouble: string | null, orders_trouble: string | null}} Engine
 * @typedef {{time: number, verdict: import('./live.js').Verdict, engine: Engine, pinned: string | null,
 *   sources: import('./sourcecards.js').Source[], switches: import('./live.js').Switch[], switches_since: number,
 *   starts: import('./timeline.js').Start[]}} Told everything of one moment
 */

/** How often the sources are asked for, and the gateways. */
const SOURCES_MS = 2_000;
const FIGURES_MS = 10_000;
/** What a source does that gives no data now. */
const STATES = /** @type {{[state: string]: string}} */ ({
  connecting: 'is connecting',
  connected: 'is connected but has sent no data yet',
  stale: 'is silent',
  lost: 'is disconnected',
  ended: 'has ended',
});

const cards = new SourceCards(node('sources'));
const timeline = new Timeline(node('switches'));
const switcher = new Switcher();
const count = new Intl.NumberFormat('en').format;
/** @type {Told | null} */
let told = null;

/** Whether what is shown still holds: the server can be heard, and it the engine. */
const known = () => live.heard && live.verdict?.state !== 'unreachable' && told?.engine.reachable === true;

/**
 * Say in one sentence how things stand.
 *
 * @returns {[string, 'good' | 'warn' | 'bad' | 'unknown']}
 */
function judge() {
  if (live.link === 'connecting') return ['Asking …', 'unknown'];
  const [, trouble] = standing(live.link, live.verdict);
  if (live.link !== 'live') return [live.heard ? trouble : 'Unknown: the server cannot be reached.', live.heard ? 'bad' : 'unknown'];
  if (!told) return ['Asking …', 'unknown'];
  const { history_trouble: history, orders_trouble: orders } = told.engine;
  const broken = [history && `History is not being stored: ${history}.`, orders && `Orders are not accepted: ${orders}.`];
  // "off" is no trouble: further sources are connected when they are needed.
  const used = told.sources.filter(({ state }) => state !== 'off');
  const down = used.filter(({ state }) => state !== 'live').map(({ name, state }) => `${name} ${STATES[state] ?? state}`);
  const pinned = told.pinned && `${told.pinned} is pinned`;
  const said = [trouble, ...broken, down.length ? `${down.join(', ')}.` : '', pinned && `${pinned}.`].filter(Boolean);
  if (said.length) return [said.join(' '), broken.some(Boolean) ? 'bad' : 'warn'];
  return [`All is well: every source ${used.length < told.sources.length ? 'in use ' : ''}is live.`, 'good'];
}

const ask = painter(() => {
  if (told) {
    cards.take(told.sources);
    timeline.paint(told.switches, told.starts);
    switcher.offer(told.sources.filter(({ real }) => real > 0).map(({ name }) => name));
    switcher.show(told.pinned);
    write(node('switches-since'), `Newest first, since ${when(told.switches_since)} ${zone()}. The last 100 are kept.`);
    paintEngine(told.engine);
  }
  grow();
});

/** @param {Engine} engine */
function paintEngine(engine) {
  const sure = known();
  write(node('engine'), sure ? 'reachable' : live.heard ? 'not reachable' : 'unknown');
  mark(node('engine'), 'kind', sure ? null : 'bad');
  write(node('lag'), sure && engine.lag_ms !== null ? `${engine.lag_ms.toFixed(1)} ms` : NOTHING);
  write(node('quotes'), sure ? `${count(engine.quotes_live)} of ${count(engine.quotes)}` : NOTHING);
  write(node('seq'), sure ? count(engine.seq) : NOTHING);
  write(node('history'), sure ? (engine.history_trouble ? 'not being stored' : 'is being stored') : NOTHING);
  mark(node('history'), 'kind', sure && engine.history_trouble ? 'bad' : null);
}

const grow = painter(() => {
  cards.paint(live.clock, known());
  timeline.grow(live.clock);
  const [words, kind] = judge();
  if (write(node('verdict'), words) && kind !== 'unknown') announce(words);
  mark(node('verdict'), 'kind', kind);
});

/**
 * Fetch a page of the server's; undefined where it cannot be had: the badge of the connection says so already.
 *
 * @param {string} path
 * @returns {Promise<Response | undefined>}
 */
async function get(path) {
  try {
    return await fetch(path, { headers: { Accept: 'application/json, text/plain' } });
  } catch {
    return undefined;
  }
}

async function askSources() {
  if (document.hidden) return;
  const response = await get('./sources');
  if (!response?.ok) return;
  told = /** @type {Told} */ (await response.json());
  live.judge(told.verdict, told.time);
  ask();
}

async function askGateways() {
  if (document.hidden) return;
  const response = await get('./metrics');
  if (!response?.ok) return;
  const rows = gateways(samples(await response.text(), ['viewers', 'viewers_behind', 'viewer_frames_total'])).map(
    ({ name, viewers, behind, frames }) =>
      make('tr', {}, make('th', { scope: 'row' }, name), ...[viewers, behind, frames].map((value) => make('td', {}, count(value)))),
  );
  node('gateways').replaceChildren(...rows);
}

const live = new Live(
  { symbols: 'all', interval_ms: 5_000, delta: true, candles: null, venues: false },
  {
    quotes() {},
    replaced: askSources,
    link(link, reason) {
      showLink(link, live.verdict);
      showTitle(link);
      const text = link === 'live' || link === 'connecting' ? '' : `${standing(link, live.verdict)[1]} ${reason}`.trim();
      showBanner(node('banner'), text && !live.heard ? `${text} This page may be out of date.` : text);
      askSources();
      ask();
    },
    hello(hello) {
      write(node('version'), /** @type {any} */ (hello).version);
      write(node('epoch'), hello.epoch ?? NOTHING);
      askSources();
      askGateways();
    },
    status: askSources,
    source: askSources,
  },
);
setInterval(askSources, SOURCES_MS);
setInterval(askGateways, FIGURES_MS);
setInterval(grow, 500);
addEventListener('visibilitychange', () => {
  askSources();
  askGateways();
});
