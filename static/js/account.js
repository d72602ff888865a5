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
    // storage is switched off
    return '';
  }
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
