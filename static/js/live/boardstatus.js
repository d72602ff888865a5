/**
 * The status above both views of the board: the sources and their states, and whether prices are live.
 *
 * @module
 */

import { announce, showBanner, showLink, showTitle } from './link.js';
import { make } from '../page/paint.js';
import { describeLink } from '../text/format.js';

export class BoardStatus {
  #banner = /** @type {HTMLElement} */ (document.getElementById('banner'));
  #list = /** @type {HTMLElement} */ (document.getElementById('sources'));
  /** @type {import('./live.js').SourceStates} */
  #states = {};
  #receiving = false;
  #shown = '';

  /** Show the sources' newest states. @param {import('./live.js').SourceStates} states */
  update(states) {
    this.#states = states;
    this.#show();
  }

  /** Show the names until the first states arrive, so that the layout does not move then. @param {string[]} names */
  showNames(names) {
    if (Object.keys(this.#states).length) return;
    this.update(Object.fromEntries(names.map((name) => [name, { state: '', age_ms: null }])));
  }

  /**
   * Show whether prices are live.
   *
   * @param {import('./live.js').Live} live
   * @param {string} reason why the server refused, if it did
   */
  link({ link, verdict, receiving }, reason) {
    // Without the engine the states of the sources are unknown.
    this.#receiving = receiving && verdict?.state !== 'unreachable';
    showLink(link, verdict);
    showTitle(link);
    this.#show();
    const [, meaning] = describeLink(link, verdict);
    const text = `${meaning} ${reason}`.trim();
    showBanner(this.#banner, link === 'connecting' || link === 'live' ? '' : text);
    announce(text || 'Prices are live.');
  }

  #show() {
    const states = Object.entries(this.#states).map(([name, { state }]) => [name, this.#receiving ? state : 'unknown']);
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
