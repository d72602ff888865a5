/**
 * The timeline: switches of instruments between sources, when and why, and the engine's starts; newest first.
 *
 * @module
 */

import { make, write } from '../page/paint.js';
import { age } from '../text/format.js';
import { when } from '../zone.js';

/** @typedef {import('../live/live.js').Switch} Switch */
/** @typedef {{time: number, run: string}} Start of the engine */

/** Further symbols are counted, not named. */
const NAMED = 4;

/** @param {string[]} symbols */
function named(symbols) {
  const rest = symbols.length - NAMED;
  return rest > 1 ? `${symbols.slice(0, NAMED).join(', ')} and ${rest} more` : symbols.join(', ');
}

/** @param {Switch} change */
function kind({ from, to }) {
  if (to === null) return 'lost';
  return from === null ? 'begun' : 'moved';
}

export class Timeline {
  #list;
  /** @type {[Element, number][]} the element of each age, and its time */
  #ages = [];
  #shown = '';

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Show these, if they have changed.
   *
   * @param {Switch[]} switches oldest first
   * @param {Start[]} starts oldest first
   */
  paint(switches, starts) {
    const shown = JSON.stringify([switches, starts]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#ages = [];
    // The sort is stable: a start comes before the switches of the same millisecond.
    const entries = [...starts.map((one, n) => this.#start(one, n > 0)), ...switches.map((one) => this.#build(one))];
    const sorted = entries.sort((a, b) => b.time - a.time).map(({ element }) => element);
    this.#list.replaceChildren(...(sorted.length ? sorted : [make('li', { class: 'soft' }, 'No switches yet.')]));
  }

  /** @param {Start} start @param {boolean} again whether there was one before */
  #start({ time, run }, again) {
    const what = make('p', {}, make('strong', {}, again ? 'Engine restarted' : 'Engine started'), ' ', make('code', { class: 'soft' }, run));
    return { time, element: make('li', { 'data-kind': 'started' }, this.#head(time), what) };
  }

  /** @param {number} ms */
  #head(ms) {
    const old = make('span', { class: 'soft' });
    this.#ages.push([old, ms]);
    return make('p', {}, make('time', { datetime: new Date(ms).toISOString() }, when(ms)), ' ', old);
  }

  /** @param {Switch} change */
  #build(change) {
    const way = make('strong', {}, `${change.from ?? 'no source'} → ${change.to ?? 'no source'}`);
    const what = make('span', { class: 'soft' }, named(change.symbols));
    const words = [make('p', {}, way, ' ', what), make('p', { class: 'reason' }, change.reason)];
    return { time: change.time, element: make('li', { 'data-kind': kind(change) }, this.#head(change.time), ...words) };
  }

  /** @param {import('../live/clock.js').ServerClock} clock */
  paintAges(clock) {
    for (const [place, since] of this.#ages) write(place, `${age(clock.age(since))} ago`);
  }
}
