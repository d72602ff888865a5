/**
 * The account box: shows the client id, copies it, and switches to another one.
 *
 * @module
 */

import { KEY, readAccount, readId } from '../page/account.js';
import { node, write } from '../page/paint.js';
import { makeId } from './uuid.js';

/**
 * Store an id; return whether it could be stored.
 *
 * @param {string} id
 * @returns {boolean}
 */
function keepAccount(id) {
  try {
    localStorage.setItem(KEY, id);
    return true;
  } catch {
    return false;
  }
}

/**
 * Start the account box.
 *
 * @param {(id: string) => void} changed called with the id of another account
 * @returns {string} the account's id
 */
export function startAccount(changed) {
  const shown = input('account');
  const wanted = input('other-account');
  const say = (/** @type {string} */ text) => write(node('account-said'), text);
  const take = (/** @type {string} */ id) => {
    const before = shown.value;
    shown.value = id;
    wanted.value = '';
    say(`Now showing the orders of this id. The previous id was ${before}.`);
    changed(id);
  };
  const id = readAccount() || makeId();
  shown.value = id;
  if (!keepAccount(id)) say('This browser cannot store the id: copy it now, or it will be lost when you close this tab.');
  node('copy').addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(shown.value);
      say('Copied.');
    } catch {
      // no clipboard without https, or not allowed
      shown.select();
      say('Press Ctrl+C to copy it.');
    }
  });
  node('new-account').addEventListener('click', () => {
    wanted.value = makeId();
    say('New id created. Press Use to switch to it.');
  });
  node('account-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const typed = readId(wanted.value);
    if (!typed) return say('An id looks like 5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5.');
    if (typed === shown.value) return say('You are already using this id.');
    keepAccount(typed);
    take(typed);
  });
  // Another tab of this browser has switched.
  addEventListener('storage', ({ key, newValue }) => {
    const theirs = key === KEY ? readId(newValue ?? '') : '';
    if (theirs && theirs !== shown.value) take(theirs);
  });
  return id;
}

/** @param {string} id */
function input(id) {
  return /** @type {HTMLInputElement} */ (node(id));
}
