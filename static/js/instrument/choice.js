/**
 * The viewer's choice of a chart's interval and type, kept in the URL, and in session storage for other pages; and of
 * what it shows, which only the URL keeps: an instrument may have no index.
 *
 * @module
 */

import { getParam, setParams } from '../page/urlstate.js';

const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];
const TYPES = ['candles', 'line'];

/** @typedef {{interval: string, type: string, of: string}} Choice `of`: empty for what is served, or `index` */

/**
 * Read the choice from the URL, else from session storage, else use the default.
 *
 * @param {{interval: string, type: string}} usual the default; its type is also the storage key, as tickers and markets have
 *   separate choices
 * @returns {Choice}
 */
export function readChoice(usual) {
  const kept = stored(usual.type);
  const interval = getParam('interval') || kept.interval;
  const type = getParam('type') || kept.type;
  return {
    interval: INTERVALS.includes(interval) ? interval : usual.interval,
    type: TYPES.includes(type) ? type : usual.type,
    of: getParam('of') === 'index' ? 'index' : '',
  };
}

/** @param {string} key @param {Choice} [choice] to store @returns {any} what is stored */
function stored(key, choice) {
  try {
    if (choice) sessionStorage.setItem(key, JSON.stringify(choice));
    return JSON.parse(sessionStorage.getItem(key) ?? '{}');
  } catch {
    return {};
  }
}

/**
 * Make the buttons with `data-interval`, `data-type` and `data-of` work, and show the choice.
 *
 * @param {Element} place contains the buttons
 * @param {Choice} choice is updated
 * @param {string} key the storage key
 * @param {() => void} chosen
 */
export function startChoice(place, choice, key, chosen) {
  const buttons = /** @type {HTMLElement[]} */ ([...place.querySelectorAll('[data-interval], [data-type], [data-of]')]);
  const show = () => {
    for (const button of buttons) {
      const { interval, type, of } = button.dataset;
      button.setAttribute('aria-pressed', String(type === choice.type || interval === choice.interval || of === choice.of));
    }
  };
  for (const button of buttons) {
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-pressed') === 'true') return;
      Object.assign(choice, button.dataset);
      setParams(choice);
      stored(key, choice);
      show();
      chosen();
    });
  }
  show();
}
