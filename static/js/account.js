/**
 * Whose orders they are: an id made in this browser. Who knows it shares the account, so that a bot or the
 * command line can trade for the same one.
 *
 * @module
 */

export const KEY = 'client-id';
const FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Read the id this browser has; empty where it has none.
 *
 * @returns {string}
 */
export function readAccount() {
  try {
    const kept = localStorage.getItem(KEY) ?? '';
    return readId(kept);
  } catch {
    return ''; // storage is switched off
  }
}

/**
 * Keep an id; say whether it outlives this page.
 *
 * @param {string} id
 * @returns {boolean}
 */
export function keepAccount(id) {
  try {
    localStorage.setItem(KEY, id);
    return true;
  } catch {
    return false;
  }
}

/**
 * Make a random id (UUID version 4). `crypto.randomUUID` is there for https and this machine only.
 *
 * @returns {string}
 */
export function makeId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * Bring what a person typed to the form of an id; empty where it is none.
 *
 * @param {string} typed
 * @returns {string}
 */
export function readId(typed) {
  const text = typed.trim().toLowerCase();
  return FORM.test(text) ? text : '';
}
