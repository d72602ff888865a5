/**
 * The switch of the source that serves everybody: one button each, and the admin token where it is asked for.
 *
 * @module
 */

import { make, mark, write } from './paint.js';

const TOKEN = 'admin-token';
const SETTLE_MS = 1_500;

/** @returns {string} the token of this tab, empty where there is none */
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
    // storage is switched off: it will be asked for again
  }
}

export class Switcher {
  #buttons = /** @type {HTMLElement} */ (document.getElementById('switch'));
  #answer = /** @type {HTMLElement} */ (document.getElementById('switched'));
  #form = /** @type {HTMLFormElement} */ (document.getElementById('token-form'));
  #field = /** @type {HTMLInputElement} */ (document.getElementById('token'));
  #wanted = 'auto';
  #due = 0;

  constructor() {
    this.#buttons.addEventListener('click', (event) => {
      const button = event.target instanceof Element ? event.target.closest('button') : null;
      if (button?.dataset.source) this.#pin(button.dataset.source);
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      keepToken(this.#field.value);
      this.#field.value = '';
      this.#pin(this.#wanted);
    });
  }

  /** Offer these sources. @param {string[]} names */
  offer(names) {
    const [auto, ...old] = /** @type {HTMLElement[]} */ ([...this.#buttons.children]);
    if (old.map((button) => button.dataset.source).join() !== names.join()) {
      const buttons = names.map((name) =>
        make('button', { class: 'button', type: 'button', 'data-source': name, 'aria-pressed': 'false' }, name),
      );
      this.#buttons.replaceChildren(auto, ...buttons);
    }
    this.#look();
  }

  /** Show soon which source is pinned; a gateway knows it up to a second after the engine. */
  refresh() {
    clearTimeout(this.#due);
    this.#due = setTimeout(() => this.#look(), SETTLE_MS);
  }

  async #look() {
    try {
      const response = await fetch('/sources', { headers: { Accept: 'application/json' } });
      if (!response.ok) return;
      const { pinned } = await response.json();
      this.#show(pinned ?? 'auto');
    } catch {
      // The connection's badge says already that the server cannot be reached.
    }
  }

  /** @param {string} pinned */
  #show(pinned) {
    for (const button of this.#buttons.children) {
      const name = button.getAttribute('data-source');
      button.setAttribute('aria-pressed', String(name === pinned));
    }
  }

  /** @param {string} source */
  async #pin(source) {
    this.#wanted = source;
    this.#say('Asking …', 'busy');
    const sent = token();
    /** @type {{[name: string]: string}} */
    const headers = { 'Content-Type': 'application/json', Accept: 'application/json' };
    if (sent) headers.Authorization = `Bearer ${sent}`;
    try {
      const body = JSON.stringify({ source });
      const response = await fetch('/sources/active', { method: 'POST', headers, body });
      if (response.ok) {
        this.#form.hidden = true;
        this.#show(source);
        this.#say(source === 'auto' ? 'The first live source serves.' : `Only ${source} serves now, for everybody.`, 'done');
      } else {
        await this.#refused(response, sent !== '');
      }
    } catch {
      this.#say('The server cannot be reached; nothing was changed.', 'refused');
    }
  }

  /**
   * @param {Response} response
   * @param {boolean} withToken
   */
  async #refused(response, withToken) {
    const problem = await response.json().catch(() => ({}));
    const why = problem.detail ?? problem.title ?? `HTTP ${response.status}`;
    if (response.status === 401 || response.status === 403) {
      if (withToken) keepToken('');
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
