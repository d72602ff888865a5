/**
 * Pinning a source for all viewers: one button each, and the form for the admin token.
 *
 * @module
 */

import { make, mark, node, write } from './paint.js';

const TOKEN = 'admin-token';
const AUTO = 'auto';

/** @returns {string} the token kept for this tab, empty if there is none */
function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} value */
function keepToken(value) {
  try {
    if (value) sessionStorage.setItem(TOKEN, value);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // storage is disabled: the form will ask for it again
  }
}

export class Switcher {
  #buttons = node('switch');
  #answer = node('switched');
  #sure = node('sure');
  #form = /** @type {HTMLFormElement} */ (node('token-form'));
  #field = /** @type {HTMLInputElement} */ (node('token'));
  #wanted = AUTO;

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
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      keepToken(this.#field.value);
      this.#field.value = '';
      this.#pin(this.#wanted);
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
    this.#form.hidden = true;
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
    this.#form.hidden = true; // one attempt at a time: a late refusal must not concern another token
    this.#say('Switching …', 'busy');
    const sent = token();
    /** @type {{[name: string]: string}} */
    const headers = { 'Content-Type': 'application/json', Accept: 'application/json' };
    if (sent) headers.Authorization = `Bearer ${sent}`;
    try {
      const body = JSON.stringify({ source });
      const response = await fetch('./sources/active', { method: 'POST', headers, body });
      if (response.ok) {
        this.show(source);
        this.#say(source === AUTO ? 'Automatic: the first live source serves.' : `Only ${source} serves now, for all viewers.`, 'done');
      } else {
        await this.#refused(response, sent);
      }
    } catch {
      this.#say('The server cannot be reached. Nothing was changed.', 'refused');
    }
  }

  /**
   * @param {Response} response
   * @param {string} sent the token
   */
  async #refused(response, sent) {
    const problem = await response.json().catch(() => ({}));
    const why = problem.detail ?? problem.title ?? `HTTP ${response.status}`;
    if (response.status === 401 || response.status === 403) {
      if (sent === token()) keepToken('');
      this.#form.hidden = false;
      this.#field.focus();
    }
    this.#say(`Refused: ${why}`, 'refused');
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
