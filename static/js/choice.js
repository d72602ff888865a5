/**
 * What this viewer wants to see of a chart: interval and type. It lives in the page's address and nowhere else.
 *
 * @module
 */

export const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];
export const TYPES = ['candles', 'line'];

/** @typedef {{interval: string, type: string}} Choice */

/**
 * Read the choice from the address; what is missing or unknown is the usual one.
 *
 * @param {Choice} usual
 * @returns {Choice}
 */
export function readChoice(usual) {
  const asked = new URLSearchParams(location.search);
  const pick = (/** @type {string} */ name, /** @type {string[]} */ known, /** @type {string} */ fallback) => {
    const wanted = asked.get(name) ?? '';
    return known.includes(wanted) ? wanted : fallback;
  };
  return { interval: pick('interval', INTERVALS, usual.interval), type: pick('type', TYPES, usual.type) };
}

/** Put the choice into the address, and the rest of the address stays. @param {Choice} choice */
export function writeChoice(choice) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(choice)) query.set(name, value);
  history.replaceState(history.state, '', `?${query}${location.hash}`);
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
      writeChoice(choice);
      show();
      chosen();
    });
  }
  show();
}
