/**
 * The timeline of switches: which instruments went from which source to which, when and why, newest first.
 *
 * @module
 */

import { make, write } from './paint.js';
import { age, moment } from './words.js';

/** @typedef {import('./live.js').Switch} Switch */

/** More symbols than this are counted instead of named. */
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

/**
 * Say a moment in the viewer's own time, with the day where it is not today.
 *
 * @param {number} ms
 * @returns {string}
 */
export function when(ms) {
  const date = new Date(ms);
  const clock = moment(ms).replace(/\.\d$/, '');
  if (date.toDateString() === new Date().toDateString()) return clock;
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${clock}`;
}

export class Timeline {
  #list;
  /** @type {[Element, number][]} the place of each age, and since when */
  #ages = [];
  #shown = '';

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** Show these, where they differ from what is shown. @param {Switch[]} switches oldest first */
  paint(switches) {
    const shown = JSON.stringify(switches);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#ages = [];
    const entries = switches.toReversed().map((change) => this.#build(change));
    this.#list.replaceChildren(...(entries.length ? entries : [make('li', { class: 'soft' }, 'No switch so far.')]));
  }

  /** @param {Switch} change */
  #build(change) {
    const old = make('span', { class: 'soft' });
    this.#ages.push([old, change.time]);
    const time = make('time', { datetime: new Date(change.time).toISOString() }, when(change.time));
    const way = make('strong', {}, `${change.from ?? 'no source'} → ${change.to ?? 'no source'}`);
    const what = make('span', { class: 'soft' }, named(change.symbols));
    const head = make('p', {}, time, ' ', old);
    return make('li', { 'data-kind': kind(change) }, head, make('p', {}, way, ' ', what), make('p', { class: 'reason' }, change.reason));
  }

  /** Let the ages grow. @param {import('./clock.js').ServerClock} clock */
  grow(clock) {
    for (const [place, since] of this.#ages) write(place, `${age(clock.age(since))} ago`);
  }
}
