/**
 * What stands above the board in both views: the sources with their states, and whether the prices are live.
 *
 * @module
 */

import { announce, showBanner, showLink, showTitle } from './link.js';
import { make } from './paint.js';
import { standing } from './words.js';

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
   * Show whether prices are live.
   *
   * @param {import('./live.js').Live} live
   * @param {string} reason of a refusal
   */
  link({ link, verdict, heard }, reason) {
    // Without the engine nobody knows how the sources are.
    this.#heard = heard && verdict?.state !== 'unreachable';
    showLink(link, verdict);
    showTitle(link);
    this.#show();
    const [, meaning] = standing(link, verdict);
    const text = `${meaning} ${reason}`.trim();
    showBanner(this.#banner, link === 'connecting' || link === 'live' ? '' : text);
    announce(text || 'Prices are live.');
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
        const link = make('a', { class: 'badge state', href: './status', 'data-state': state || 'unknown' }, dot, `${name} `, word);
        return make('li', {}, link);
      }),
    );
  }
}
