/**
 * What this viewer wants to see of a chart: interval and type. It lives in the page's address and nowhere else.
 *
 * @module
 */

import { keep, recall } from './address.js';

const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];
const TYPES = ['candles', 'line'];

/** @typedef {{interval: string, type: string}} Choice */

/**
 * Read the choice from the address; what is missing or unknown is the usual one.
 *
 * @param {Choice} usual
 * @returns {Choice}
 */
export function readChoice(usual) {
  const [interval, type] = [recall('interval'), recall('type')];
  return {
    interval: INTERVALS.includes(interval) ? interval : usual.interval,
    type: TYPES.includes(type) ? type : usual.type,
  };
}

/**
 * Let the buttons with `data-interval` and `data-type` choose, and show what is chosen.
 *
 * @param {Element} place holds the buttons
 * @param {Choice} choice is kept up to date
 * @param {() => void} chosen
 */
export function startChoice(place, choice, chosen) {
  const buttons = /** @type {HTMLElement[]} */ ([...place.querySelectorAll('[data-interval], [data-type]')]);
  const show = () => {
    for (const button of buttons) {
      const { interval, type } = button.dataset;
      const pressed = interval === undefined ? type === choice.type : interval === choice.interval;
      button.setAttribute('aria-pressed', String(pressed));
    }
  };
  for (const button of buttons) {
    button.addEventListener('click', () => {
      const { interval, type } = button.dataset;
      if ((interval ?? choice.interval) === choice.interval && (type ?? choice.type) === choice.type) return;
      Object.assign(choice, interval === undefined ? { type } : { interval });
      keep(choice);
      show();
      chosen();
    });
  }
  show();
}
