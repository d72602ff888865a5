/**
 * What stands above the board in both views: the sources with their states, and whether the prices are live.
 *
 * @module
 */

import { announce, showBanner, showLink } from './link.js';
import { make } from './paint.js';
import { LINKS } from './words.js';

/** @typedef {import('./live.js').Link} Link */

export class Standing {
  #banner = /** @type {HTMLElement} */ (document.getElementById('banner'));
  #list = /** @type {HTMLElement} */ (document.getElementById('sources'));
  /** @type {import('./live.js').SourceStates} */
  #told = {};
  #heard = false;
  #shown = '';

  /** Take the sources' newest states. @param {import('./live.js').SourceStates} states */
  take(states) {
    this.#told = states;
    this.#show();
  }

  /** Name the sources until the first word about their states comes, so that nothing moves then. @param {string[]} names */
  name(names) {
    if (Object.keys(this.#told).length) return;
    this.take(Object.fromEntries(names.map((name) => [name, { state: '', age_ms: null }])));
  }

  /**
   * Show the health of the page's connection.
   *
   * @param {Link} link
   * @param {string} reason
   * @param {boolean} heard whether the server can be heard, so that what it said of its sources still holds
   */
  link(link, reason, heard) {
    this.#heard = heard;
    showLink(link);
    this.#show();
    const text = link === 'live' ? '' : `${LINKS[link][1]} ${reason} The prices below are not live.`.replace(/ +/g, ' ');
    showBanner(this.#banner, link === 'connecting' ? '' : text);
    announce(link === 'live' ? 'Prices are live.' : text);
  }

  #show() {
    const states = Object.entries(this.#told).map(([name, { state }]) => [name, this.#heard ? state : 'unknown']);
    const shown = JSON.stringify(states);
    if (this.#shown === shown) return;
    this.#shown = shown;
    this.#list.replaceChildren(
      ...states.map(([name, state]) => {
        const dot = make('i', { class: 'dot', 'aria-hidden': 'true' });
        const word = make('span', { class: 'soft' }, state || '…');
        const link = make('a', { class: 'badge state', href: '/status', 'data-state': state || 'unknown' }, dot, `${name} `, word);
        return make('li', {}, link);
      }),
    );
  }
}
