/**
 * What is loaded only when its place comes near the window: on a phone most of a page is never looked at.
 *
 * @module
 */

import { write } from './paint.js';

/**
 * Load something once its place is near; its note says if that fails.
 *
 * @param {HTMLElement} place
 * @param {() => Promise<void>} load
 */
export function whenNear(place, load) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      watch.disconnect();
      load().catch(() => {
        write(/** @type {Element} */ (place.querySelector('.note')), 'This part of the page could not be loaded. Reload the page.');
      });
    },
    { rootMargin: '200px' },
  );
  watch.observe(place);
}
