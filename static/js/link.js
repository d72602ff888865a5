/**
 * The badge of the page's own connection, and the one place where a page announces what a person must know.
 *
 * @module
 */

import { mark, write } from './paint.js';
import { LINKS } from './words.js';

/** Announcements are held back this long, so that what is over at once is not read out. */
const SETTLE_MS = 1_000;

const badge = /** @type {HTMLElement} */ (document.getElementById('link'));
const word = /** @type {HTMLElement} */ (document.getElementById('link-word'));
const place = /** @type {HTMLElement} */ (document.getElementById('announce'));
let waiting = 0;
let next = '';

/**
 * Show the connection's health in the badge and on the body, where the style sheets dim every price by it.
 *
 * @param {import('./live.js').Link} link
 */
export function showLink(link) {
  const [name, meaning] = LINKS[link];
  write(word, name);
  mark(badge, 'link', link);
  badge.title = meaning || 'This page is connected and up to date.';
  mark(document.body, 'link', link);
}

/**
 * Show or hide a page's banner.
 *
 * @param {HTMLElement} banner
 * @param {string} text empty hides it
 */
export function showBanner(banner, text) {
  banner.hidden = !text;
  write(banner, text);
}

/**
 * Let screen readers say a sentence, unless it is replaced within a second.
 *
 * @param {string} text
 */
export function announce(text) {
  if (text === next) return;
  next = text;
  clearTimeout(waiting);
  waiting = setTimeout(() => write(place, text), SETTLE_MS);
}
