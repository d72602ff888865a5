/**
 * The badge of the page's own connection, its banner, and announcements for screen readers.
 *
 * @module
 */

import { mark, write } from '../page/paint.js';
import { describeLink } from '../text/format.js';

/** Announcements wait this long, so that short interruptions are not read out. */
const SETTLE_MS = 1_000;

const badge = /** @type {HTMLElement} */ (document.getElementById('link'));
const word = /** @type {HTMLElement} */ (document.getElementById('link-word'));
const place = /** @type {HTMLElement} */ (document.getElementById('announce'));
const pin = /** @type {HTMLElement} */ (document.getElementById('pinned'));
const title = document.title;
let waiting = 0;
let next = '';

/**
 * Show the connection's health in the badge and on the body, by which the style sheets dim every price; and the pin.
 *
 * @param {import('./live.js').Link} link
 * @param {import('./live.js').Verdict | null} verdict
 */
export function showLink(link, verdict) {
  const [name, meaning] = describeLink(link, verdict);
  write(word, name);
  mark(badge, 'link', link);
  mark(badge, 'part', link === 'live' && meaning ? '' : null);
  badge.title = meaning || 'Prices are live.';
  mark(document.body, 'link', link);
  if (!verdict) return;
  pin.hidden = verdict.pinned === null;
  write(pin, `Pinned: ${verdict.pinned}`);
}

/** Say in the tab's title if prices are not live. @param {import('./live.js').Link} link */
export function showTitle(link) {
  document.title = link === 'live' || link === 'connecting' ? title : `STALE · ${title}`;
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
 * Have screen readers read out a sentence, unless it is replaced within a second.
 *
 * @param {string} text
 */
export function announce(text) {
  if (text === next) return;
  next = text;
  clearTimeout(waiting);
  waiting = setTimeout(() => write(place, text), SETTLE_MS);
}
