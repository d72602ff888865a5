/**
 * Painting: at most once per animation frame, only what has changed, never while the tab is hidden.
 *
 * @module
 */

import { shown } from '../text/numbers.js';
import { ARROWS, NOTHING } from '../text/format.js';

const FLASH_MS = 900;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
/** @type {WeakMap<Element, Animation>} the latest flash of each element */
const flashes = new WeakMap();

/**
 * Make a function that schedules `paint` for the next animation frame, once however often it is called.
 * Browsers run no frames for a hidden tab, so the newest state is painted when it is visible again.
 *
 * @param {() => void} paint
 * @returns {() => void}
 */
export function painter(paint) {
  let scheduled = false;
  const run = () => {
    scheduled = false;
    paint();
  };
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(run);
  };
}

/**
 * Find an element that always exists.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function node(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Set a node's text; return whether it differed. The text node is reused, which spares the garbage collector.
 *
 * @param {Element} node
 * @param {string} text
 * @returns {boolean}
 */
export function write(node, text) {
  const inner = node.firstChild;
  if (inner instanceof Text && inner === node.lastChild) {
    if (inner.data === text) return false;
    inner.data = text;
    return true;
  }
  if (node.textContent === text) return false;
  node.textContent = text;
  return true;
}

/** @type {WeakMap<EventTarget, string>} the exact number of each element that shows one */
export const exact = new WeakMap();

/**
 * Set a node's text to a formatted number; the tooltip and copying give the exact text.
 *
 * @param {HTMLElement} node
 * @param {string | null | undefined} number
 * @param {number} digits minimum number of decimal places
 */
export function writeNumber(node, number, digits = 0) {
  if (!exact.has(node)) node.dataset.number = '';
  exact.set(node, number ?? '');
  if (node.title) node.title = number ?? '';
  write(node, number ? shown(number, digits) : NOTHING);
}

addEventListener('pointerover', ({ target }) => {
  const text = target && exact.get(target);
  if (text) /** @type {HTMLElement} */ (target).title = text;
});
// Selecting something may be followed by copying it.
document.addEventListener('selectionchange', () => import('./copying.js'), { once: true });

/**
 * Set a `data-` attribute; null removes it.
 *
 * @param {Element} node
 * @param {string} name
 * @param {string | null} value
 */
export function mark(node, name, value) {
  const attribute = `data-${name}`;
  if (node.getAttribute(attribute) === value) return;
  if (value === null) node.removeAttribute(attribute);
  else node.setAttribute(attribute, value);
}

/**
 * Show an arrow for the direction of a change and flash an element once.
 *
 * @param {HTMLElement} place
 * @param {Element} arrow
 * @param {import('../text/format.js').Direction} way
 * @param {boolean} seen whether the element is visible; otherwise it does not flash
 */
export function flash(place, arrow, way, seen = true) {
  if (way === 'same') return;
  write(arrow, ARROWS[way]);
  mark(arrow, 'way', way);
  // one flash per element, however fast it changes
  flashes.get(place)?.cancel();
  flashes.delete(place);
  if (calm.matches || !seen) return;
  const flashing = place.animate([{ backgroundColor: `var(--flash-${way})` }, { backgroundColor: 'transparent' }], {
    duration: FLASH_MS,
    easing: 'ease-out',
  });
  flashes.set(place, flashing);
}

/** End a flash, because a stale value must not flash. @param {HTMLElement} place */
export function dim(place) {
  for (const flashing of place.getAnimations()) flashing.cancel();
}

/**
 * Make an element with text and attributes; children are appended as they are.
 *
 * @param {string} tag
 * @param {{[name: string]: string}} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
