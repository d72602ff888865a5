/**
 * Searching instruments in any usual spelling.
 *
 * @module
 */

/**
 * Normalise text for comparison: BTC-USDT, btc/usdt and btc_usdt are equal.
 *
 * @param {string} text
 * @returns {string}
 */
export function fold(text) {
  return text.toLowerCase().replace(/[-/_\s]/g, '');
}

/**
 * Return whether an element's `data-find` contains the typed text.
 *
 * @param {Element} element
 * @param {string} typed already folded
 * @returns {boolean}
 */
export function matches(element, typed) {
  return fold(element.getAttribute('data-find') ?? '').includes(typed);
}
