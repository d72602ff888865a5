/**
 * The status page: what the system says of itself.
 *
 * @module
 */

import { gateways, samples } from './figures.js';
import { announce, showBanner, showLink } from './link.js';
import { Live } from './live.js';
import { make, mark, painter, write } from './paint.js';
import { SourceCards } from './sourcecards.js';
import { Switcher } from './switcher.js';
import { Timeline, when } from './timeline.js';
import { age, LINKS, NOTHING } from './words.js';

/** How often the sources are asked for, and everything else. */
const SOURCES_MS = 2_000;
const FIGURES_MS = 10_000;

const node = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const cards = new SourceCards(node('sources'));
const timeline = new Timeline(node('switches'));
const switcher = new Switcher();
const count = new Intl.NumberFormat('en').format;
/** @type {{pinned: string | null, sources: import('./sourcecards.js').Source[], switches: import('./live.js').Switch[],
 *   switches_since: number} | null} */
let told = null;
let trouble = '';

/**
 * Say in one sentence how things stand.
 *
 * @returns {[string, 'good' | 'bad' | 'unknown']}
 */
function judge() {
  if (!told || !live.heard) return [live.link === 'connecting' ? 'Asking …' : 'Not known: the server cannot be heard.', 'unknown'];
  // "off" is no trouble: further sources are connected when they are needed.
  const used = told.sources.filter(({ state }) => state !== 'off');
  const down = used.filter(({ state }) => state !== 'live').map(({ name, state }) => `${name} is ${state}`);
  const said = [...down, ...(told.pinned ? [`${told.pinned} is pinned`] : []), ...(trouble ? [trouble] : [])];
  if (said.length) return [`${said.join(', ')}.`, down.length || trouble ? 'bad' : 'unknown'];
  return [`All is well: every source ${used.length < told.sources.length ? 'in use ' : ''}is live.`, 'good'];
}

const ask = painter(() => {
  if (told) {
    cards.take(told.sources);
    timeline.paint(told.switches);
    const since = `Newest first; this gateway has noted them since ${when(told.switches_since)} and keeps the last 100.`;
    write(node('switches-since'), since);
  }
  grow();
});

const grow = painter(() => {
  cards.grow(live.clock, live.heard);
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
  const response = await get('/sources');
  if (!response?.ok) return;
  const before = told;
  told = await response.json();
  const names = told?.sources.map(({ name }) => name) ?? [];
  if (told && (told.pinned !== before?.pinned || names.join() !== before?.sources.map(({ name }) => name).join())) switcher.offer(names);
  ask();
}

async function askFigures() {
  if (document.hidden) return;
  const [metrics, ready] = await Promise.all([get('/metrics'), get('/readyz')]);
  if (metrics?.ok) paintFigures(await metrics.text());
  if (ready) {
    const said = await ready.json().catch(() => ({}));
    trouble = [...(said.degraded ?? []), ...(said.reasons ?? [])].join('; ');
    const history = (said.degraded ?? []).find((/** @type {string} */ one) => one.startsWith('history'));
    write(node('history'), ready.ok ? (history ?? 'is being stored') : NOTHING);
    mark(node('history'), 'kind', history ? 'bad' : null);
  }
  ask();
}

/** @param {string} text of /metrics */
function paintFigures(text) {
  const ours = ['engine_up', 'engine_lag_seconds', 'quotes', 'quotes_stale', 'seq', 'viewers', 'viewers_behind', 'viewer_frames_total'];
  const found = samples(text, ours);
  const one = (/** @type {string} */ name) => found.get(name)?.[0]?.value ?? null;
  const lag = one('engine_lag_seconds');
  write(node('engine'), one('engine_up') ? 'reachable' : 'not reachable');
  mark(node('engine'), 'kind', one('engine_up') ? null : 'bad');
  write(node('lag'), lag === null ? NOTHING : `${(lag * 1000).toFixed(1)} ms`);
  const quotes = one('quotes') ?? 0;
  write(node('quotes'), `${count(quotes - (one('quotes_stale') ?? 0))} of ${count(quotes)}`);
  write(node('seq'), count(one('seq') ?? 0));
  const rows = gateways(found).map(({ name, viewers, behind, frames }) =>
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
      showLink(link);
      const text = link === 'live' || link === 'connecting' ? '' : `${LINKS[link][1]} ${reason} What is below may be old.`.replace(/ +/g, ' ');
      showBanner(node('banner'), text);
      if (text) announce(text);
      ask();
    },
    hello(hello) {
      write(node('version'), /** @type {any} */ (hello).version);
      write(node('epoch'), hello.epoch ?? NOTHING);
      askFigures();
    },
    source: askSources,
  },
);
setInterval(askSources, SOURCES_MS);
setInterval(askFigures, FIGURES_MS);
setInterval(grow, 500);
addEventListener('visibilitychange', () => {
  askSources();
  askFigures();
});
