/**
 * Pinning a source for all viewers: one button each.
 *
 * @module
 */

import { Admin } from './admin.js';
import { asSentence } from '../text/format.js';
import { make, mark, node, write } from '../page/paint.js';

const AUTO = 'auto';

export class Switcher {
  #buttons = node('switch');
  #answer = node('switched');
  #sure = node('sure');
  #wanted = AUTO;
  #admin = new Admin(() => this.#pin(this.#wanted));

  constructor() {
    this.#buttons.addEventListener('click', (event) => {
      const button = event.target instanceof Element ? event.target.closest('button') : null;
      const { source } = button?.dataset ?? {};
      if (source && button?.getAttribute('aria-pressed') !== 'true') this.#choose(source);
    });
    node('sure-yes').addEventListener('click', () => this.#pin(this.#wanted));
    node('sure-no').addEventListener('click', () => {
      this.#sure.hidden = true;
      this.#button(this.#wanted)?.focus();
    });
  }

  /** Offer these sources. @param {string[]} names that carry real pairs */
  offer(names) {
    const [auto, ...old] = /** @type {HTMLElement[]} */ ([...this.#buttons.children]);
    if (old.map((button) => button.dataset.source).join() === names.join()) return;
    const buttons = names.map((name) =>
      make('button', { class: 'button', type: 'button', 'data-source': name, 'aria-pressed': 'false' }, name),
    );
    this.#buttons.replaceChildren(auto, ...buttons);
  }

  /** Show which source is pinned. @param {string | null} pinned null: none */
  show(pinned) {
    for (const button of this.#buttons.children) {
      const name = button.getAttribute('data-source');
      button.setAttribute('aria-pressed', String(name === (pinned ?? AUTO)));
    }
  }

  /** @param {string} source */
  #button(source) {
    return [...this.#buttons.children].find((one) => one.getAttribute('data-source') === source);
  }

  /** Pinning needs a confirmation: it affects all viewers and disables failover. @param {string} source */
  #choose(source) {
    this.#wanted = source;
    this.#admin.forget();
    this.#say('', '');
    if (source === AUTO) {
      this.#pin(source);
      return;
    }
    write(node('sure-what'), `Serve only ${source} to all viewers, even if it fails?`);
    this.#sure.hidden = false;
    node('sure-no').focus();
  }

  /** @param {string} source */
  async #pin(source) {
    this.#sure.hidden = true;
    this.#say('Switching …', 'busy');
    const { ok, refused, why, answer } = await this.#admin.post('./sources/active', { source });
    if (ok && 'pinned' in answer) {
      this.show(source);
      this.#say(source === AUTO ? 'Automatic: the first live source serves.' : `Only ${source} serves now, for all viewers.`, 'done');
    } else {
      this.#say(refused ? `Refused: ${why}` : `${asSentence(why)} It may have been done: see which button is pressed.`, 'refused');
    }
  }

  /**
   * @param {string} text
   * @param {string} kind
   */
  #say(text, kind) {
    write(this.#answer, text);
    mark(this.#answer, 'kind', kind);
  }
}
