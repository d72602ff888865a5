/**
 * What this viewer wants to see of a chart: interval and type. It lives in the page's address, and in the tab for pages
 * without it there.
 *
 * @module
 */

import { keep, recall } from './address.js';

const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];
const TYPES = ['candles', 'line'];

/** @typedef {{interval: string, type: string}} Choice */

/**
 * Read the choice from the address, else from the tab; what is missing or unknown is the usual one.
 *
 * @param {Choice} usual its type is the key under which the tab keeps it: charts of walks and of markets differ
 * @returns {Choice}
 */
export function readChoice(usual) {
  const kept = stored(usual.type);
  const interval = recall('interval') || kept.interval;
  const type = recall('type') || kept.type;
  return {
    interval: INTERVALS.includes(interval) ? interval : usual.interval,
    type: TYPES.includes(type) ? type : usual.type,
  };
}

/** @param {string} key @param {Choice} [choice] to keep @returns {any} what is kept */
function stored(key, choice) {
  try {
    if (choice) sessionStorage.setItem(key, JSON.stringify(choice));
    return JSON.parse(sessionStorage.getItem(key) ?? '{}');
  } catch {
    return {};
  }
}

/**
 * Let the buttons with `data-interval` and `data-type` choose, and show what is chosen.
 *
 * @param {Element} place holds the buttons
 * @param {Choice} choice is kept up to date
 * @param {string} key the type that is usual
 * @param {() => void} chosen
 */
export function startChoice(place, choice, key, chosen) {
  const buttons = /** @type {HTMLElement[]} */ ([...place.querySelectorAll('[data-interval], [data-type]')]);
  const show = () => {
    for (const button of buttons) {
      const { interval, type } = button.dataset;
      button.setAttribute('aria-pressed', String(type === choice.type || interval === choice.interval));
    }
  };
  for (const button of buttons) {
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-pressed') === 'true') return;
      Object.assign(choice, button.dataset);
      keep(choice);
      stored(key, choice);
      show();
      chosen();
    });
  }
  show();
}
