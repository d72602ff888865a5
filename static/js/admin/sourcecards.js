/**
 * One card for each source: its state and for how long, the age of its data, its errors.
 *
 * @module
 */

import { make, mark, write } from '../page/paint.js';
import { age, NOTHING } from '../text/format.js';
import { when } from '../zone.js';

/**
 * @typedef {{name: string, state: string, since: number, pinned: boolean, reason: string | null, last_error: string | null,
 *   age_ms: number | null, reconnects: number, serving: number, carries: number, url: string | null,
 *   retry_at: number | null, frames: {[channel: string]: number}, dropped: {[channel: string]: number},
 *   refused: {[symbol: string]: string}, next_retry?: {[symbol: string]: number}, lacking?: {[symbol: string]: string},
 *   left_out?: string[], real: number}} Source
 */

/** Name and title of each figure on a card. */
const FIGURES = /** @type {const} */ ([
  ['serving', 'Serving'],
  ['age', 'Newest data'],
  ['since', 'In this state for'],
  ['reconnects', 'Reconnects'],
  ['frames', 'Frames'],
  ['rate', 'Frames per second'],
  ['dropped', 'Out of order (dropped)'],
  ['retry', 'Next attempt'],
]);
const count = new Intl.NumberFormat('en').format;
const sum = (/** @type {{[name: string]: number}} */ counts) => Object.values(counts).reduce((all, one) => all + one, 0);

class Card {
  #figures = Object.fromEntries(FIGURES.map(([name]) => [name, make('dd', {}, NOTHING)]));
  #word = make('span');
  #state = make('span', { class: 'badge state' }, make('i', { class: 'dot', 'aria-hidden': 'true' }), this.#word);
  #pinned = make('span', { class: 'badge pinned', hidden: '' }, 'pinned');
  #reason = make('p', { class: 'reason', hidden: '' });
  #error = make('p', { class: 'soft error', hidden: '' });
  #refused = make('p', { class: 'soft error', hidden: '' });
  #lacking = make('p', { class: 'soft error', hidden: '' });
  #url = make('code', { class: 'soft' });
  /** @type {Source | null} */
  #source = null;
  /** @type {number | null} null: the source receives no frames */
  #frames = null;
  /** @type {number | null} */
  #rate = null;
  #updated = 0;

  /** @param {string} name */
  constructor(name) {
    const figures = FIGURES.map(([figure, title]) => make('div', {}, make('dt', {}, title), this.#figures[figure]));
    this.element = make(
      'article',
      { class: 'card source', 'data-source': name },
      make('div', { class: 'headline' }, make('h3', {}, name), this.#state, this.#pinned),
      this.#reason,
      make('dl', { class: 'figures' }, ...figures),
      this.#error,
      this.#refused,
      this.#lacking,
      this.#url,
    );
  }

  /** @param {Source} source */
  update(source) {
    const now = performance.now();
    // Synthetic sources receive no frames.
    const frames = source.url || Object.keys(source.frames).length ? sum(source.frames) : null;
    if (this.#frames !== null && frames !== null && now > this.#updated) {
      const rate = ((frames - this.#frames) * 1000) / (now - this.#updated);
      // a restarted engine counts from 0 again
      this.#rate = rate < 0 ? null : Math.round(rate);
    }
    this.#frames = frames;
    this.#source = source;
    this.#updated = now;
  }

  /**
   * Show the newest state.
   *
   * @param {import('../live/clock.js').ServerClock} clock
   * @param {boolean} known whether it is current; outdated figures are not shown
   */
  paint(clock, known) {
    const source = this.#source;
    if (!source) return;
    const state = known ? source.state : 'unknown';
    mark(this.#state, 'state', state);
    write(this.#word, state);
    this.#pinned.hidden = !source.pinned;
    say(this.#reason, known && source.state !== 'live' ? (source.reason ?? '') : '');
    say(this.#error, source.last_error ? `Last error: ${source.last_error}` : '');
    const again = source.next_retry ?? {};
    const refused = Object.entries(source.refused).map(
      ([symbol, why]) => `${symbol} (${why}${again[symbol] ? `; next attempt at ${when(again[symbol])}` : ''})`,
    );
    const left = source.left_out?.length ?? 0;
    if (left) refused.push(`${count(left)} pairs over its limit`);
    say(this.#refused, refused.length ? `Refused: ${refused.join(', ')}` : '');
    const lacking = Object.entries(source.lacking ?? {}).map(([symbol, why]) => `${symbol} (${why})`);
    say(this.#lacking, lacking.length ? `Incomplete: ${lacking.join(', ')}` : '');
    write(this.#url, source.url ?? '');
    const wait = source.retry_at === null ? null : Math.max(0, source.retry_at - clock.now());
    const said = {
      serving: `${source.serving} of ${source.carries}`,
      age: source.age_ms === null ? NOTHING : `${age(source.age_ms, true)} ago`,
      since: age(clock.age(source.since)),
      reconnects: count(source.reconnects),
      frames: number(this.#frames),
      rate: number(this.#rate),
      dropped: count(sum(source.dropped)),
      retry: wait === null ? NOTHING : `in ${age(wait)}`,
    };
    for (const [name] of FIGURES) write(this.#figures[name], known ? said[name] : NOTHING);
    this.#figures.since.title = known ? `Since ${when(source.since)}` : '';
  }
}

/** @param {number | null} value */
function number(value) {
  return value === null ? NOTHING : count(value);
}

/**
 * @param {HTMLElement} place hidden if the text is empty
 * @param {string} text
 */
function say(place, text) {
  place.hidden = !text;
  write(place, text);
}

export class SourceCards {
  #place;
  /** @type {Map<string, Card>} */
  #cards = new Map();

  /** @param {HTMLElement} place */
  constructor(place) {
    this.#place = place;
  }

  /** Set the newest states. @param {Source[]} sources in order of preference */
  update(sources) {
    const names = sources.map(({ name }) => name);
    if (names.join() !== [...this.#cards.keys()].join()) {
      this.#cards = new Map(names.map((name) => [name, new Card(name)]));
      this.#place.replaceChildren(...[...this.#cards.values()].map(({ element }) => element));
    }
    for (const source of sources) this.#cards.get(source.name)?.update(source);
  }

  /**
   * @param {import('../live/clock.js').ServerClock} clock
   * @param {boolean} known whether the states are current
   */
  paint(clock, known) {
    for (const card of this.#cards.values()) card.paint(clock, known);
  }
}
