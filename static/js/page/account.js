/**
 * The client id of this browser's account. Whoever knows it shares the account, so that a bot or the command line
 * can trade on it too.
 *
 * @module
 */

export const KEY = 'client-id';
const FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Read this browser's id; empty if it has none.
 *
 * @returns {string}
 */
export function readAccount() {
  try {
    const kept = localStorage.getItem(KEY) ?? '';
    return readId(kept);
  } catch {
    // storage is disabled
    return '';
  }
}

/**
 * Normalise a typed id; empty if it is not valid.
 *
 * @param {string} typed
 * @returns {string}
 */
export function readId(typed) {
  const text = typed.trim().toLowerCase();
  return FORM.test(text) ? text : '';
}
