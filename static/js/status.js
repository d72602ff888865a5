/**
 * The status page.
 *
 * @module
 */

import { gateways, samples } from './admin/prometheus.js';
import { announce, showBanner, showLink, showTitle } from './live/link.js';
import { Live } from './live/live.js';
import { make, mark, node, painter, write } from './page/paint.js';
import { SourceCards } from './admin/sourcecards.js';
import { Switcher } from './admin/switcher.js';
import { Timeline } from './admin/timeline.js';
import { describeLink, NOTHING } from './text/format.js';
import { when, zone } from './zone.js';

/**
 * @typedef {{reachable: boolean, epoch: string | null, seq: number, lag_ms: number | null, quotes: number, quotes_live: number,
 *   history_trouble: string | null, orders_trouble: string | null}} Engine
 * @typedef {{time: number, verdict: import('./live/live.js').Verdict, engine: Engine, pinned: string | null,
 *   sources: import('./admin/sourcecards.js').Source[], switches: import('./live/live.js').Switch[], switches_since: number,
 *   starts: import('./admin/timeline.js').Start[]}} SystemState all as of one moment
 */

/** How often the sources and the gateways are fetched. */
const SOURCES_MS = 2_000;
const GATEWAYS_MS = 10_000;
/** What to say of a source that is not live. */
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
/** @type {SystemState | null} the newest one */
let system = null;

/** Whether what is shown is current: the server is sending, and its engine is reachable. */
const known = () => live.receiving && live.verdict?.state !== 'unreachable' && system?.engine.reachable === true;

/**
 * Summarise the state of the system.
 *
 * @returns {[string, 'good' | 'warn' | 'bad' | 'unknown']}
 */
function summary() {
  if (live.link === 'connecting') return ['Loading …', 'unknown'];
  const [, trouble] = describeLink(live.link, live.verdict);
  if (live.link !== 'live') return [live.receiving ? trouble : 'Unknown: the server cannot be reached.', live.receiving ? 'bad' : 'unknown'];
  if (!system) return ['Loading …', 'unknown'];
  const { history_trouble: history, orders_trouble: orders } = system.engine;
  const broken = [history && `History is not being stored: ${history}.`, orders && `Orders are not accepted: ${orders}.`];
  // "off" is not a problem: such sources are connected when they are needed.
  const used = system.sources.filter(({ state }) => state !== 'off');
  const down = used.filter(({ state }) => state !== 'live').map(({ name, state }) => `${name} ${STATES[state] ?? state}`);
  const pinned = system.pinned && `${system.pinned} is pinned`;
  const said = [trouble, ...broken, down.length ? `${down.join(', ')}.` : '', pinned && `${pinned}.`].filter(Boolean);
  if (said.length) return [said.join(' '), broken.some(Boolean) ? 'bad' : 'warn'];
  return [`All is well: every source ${used.length < system.sources.length ? 'in use ' : ''}is live.`, 'good'];
}

const repaint = painter(() => {
  if (system) {
    cards.update(system.sources);
    timeline.paint(system.switches, system.starts);
    switcher.offer(system.sources.filter(({ real }) => real > 0).map(({ name }) => name));
    switcher.show(system.pinned);
    write(node('switches-since'), `Newest first, since ${when(system.switches_since)} ${zone()}. The last 100 are kept.`);
    paintEngine(system.engine);
  }
  paintTimes();
});

/** @param {Engine} engine */
function paintEngine(engine) {
  const current = known();
  write(node('engine'), current ? 'reachable' : live.receiving ? 'not reachable' : 'unknown');
  mark(node('engine'), 'kind', current ? null : 'bad');
  write(node('lag'), current && engine.lag_ms !== null ? `${engine.lag_ms.toFixed(1)} ms` : NOTHING);
  write(node('quotes'), current ? `${count(engine.quotes_live)} of ${count(engine.quotes)}` : NOTHING);
  write(node('seq'), current ? count(engine.seq) : NOTHING);
  write(node('history'), current ? (engine.history_trouble ? 'not being stored' : 'being stored') : NOTHING);
  mark(node('history'), 'kind', current && engine.history_trouble ? 'bad' : null);
}

const paintTimes = painter(() => {
  cards.paint(live.clock, known());
  timeline.paintAges(live.clock);
  const [words, kind] = summary();
  if (write(node('verdict'), words) && kind !== 'unknown') announce(words);
  mark(node('verdict'), 'kind', kind);
});

/**
 * Fetch from the server; undefined if it is unreachable, which the badge of the connection already says.
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

async function fetchSources() {
  if (document.hidden) return;
  const response = await get('./sources');
  if (!response?.ok) return;
  system = /** @type {SystemState} */ (await response.json());
  live.judge(system.verdict, system.time);
  repaint();
}

async function fetchGateways() {
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
    replaced: fetchSources,
    link(link, reason) {
      showLink(link, live.verdict);
      showTitle(link);
      const text = link === 'live' || link === 'connecting' ? '' : `${describeLink(link, live.verdict)[1]} ${reason}`.trim();
      showBanner(node('banner'), text && !live.receiving ? `${text} This page may be out of date.` : text);
      fetchSources();
      repaint();
    },
    hello(hello) {
      write(node('version'), /** @type {any} */ (hello).version);
      write(node('epoch'), hello.epoch ?? NOTHING);
      fetchSources();
      fetchGateways();
    },
    status: fetchSources,
    source: fetchSources,
  },
);
setInterval(fetchSources, SOURCES_MS);
setInterval(fetchGateways, GATEWAYS_MS);
setInterval(paintTimes, 500);
addEventListener('visibilitychange', () => {
  fetchSources();
  fetchGateways();
});
