/**
 * Requests that need the admin token, and the form that asks for it.
 *
 * @module
 */

import { node } from '../page/paint.js';

const TOKEN = 'admin-token';
/** What a header can hold; anything else is not the token. */
const SENDABLE = /^[ -~]+$/;
const MISSING = 'this needs the admin token. Enter it below.';
const WRONG = 'this is not the admin token of the server. Enter it below.';

/** With these of its codes the server has refused before it began, although the status is 503. */
const NOT_BEGUN = ['no_list', 'starting'];

/**
 * @typedef {object} Outcome what the server said
 * @property {boolean} ok whether it was done
 * @property {boolean} refused whether it was certainly not done; if neither, nobody can say
 * @property {number} status of HTTP, 0 if the server was not reached
 * @property {string} code the stable code of a refusal
 * @property {string} why a refusal's sentence
 * @property {any} answer if it was done
 */

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

export class Admin {
  #form = /** @type {HTMLFormElement} */ (node('token-form'));
  #field = /** @type {HTMLInputElement} */ (node('token'));

  /** @param {() => void} again sends the refused request again, with the token that was entered */
  constructor(again) {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      keepToken(this.#field.value.trim());
      this.#field.value = '';
      again();
    });
  }

  /** Hide the form: what it was asked for is no longer wanted. */
  forget() {
    this.#form.hidden = true;
  }

  /**
   * Send a request; if the token is missing or wrong, ask for it.
   *
   * @param {string} path
   * @param {object} body
   * @returns {Promise<Outcome>}
   */
  async post(path, body) {
    this.#form.hidden = true; // one attempt at a time: a late refusal must not concern another token
    const sent = token();
    /** @type {{[name: string]: string}} */
    const headers = { 'Content-Type': 'application/json', Accept: 'application/json' };
    if (SENDABLE.test(sent)) headers.Authorization = `Bearer ${sent}`;
    /** @type {Response} */
    let response;
    try {
      response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
    } catch {
      return { ok: false, refused: false, status: 0, code: '', why: 'The server cannot be reached.', answer: null };
    }
    const { ok, status } = response;
    const answer = (await response.json().catch(() => null)) ?? {};
    const needed = status === 401; // a 403 is a proxy's own: it knows nothing of the token
    if (needed) {
      if (sent === token()) keepToken('');
      this.#form.hidden = false;
      this.#field.focus();
    }
    const why = needed ? (sent ? WRONG : MISSING) : (answer.detail ?? answer.title ?? `HTTP ${status}`);
    const code = String(answer.code ?? '');
    const refused = (status >= 400 && status < 500) || NOT_BEGUN.includes(code);
    return { ok, refused, status, code, why: String(why), answer };
  }
}
