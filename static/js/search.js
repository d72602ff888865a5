/**
 * Finding instruments by what a person types, in any usual spelling.
 *
 * @module
 */

/**
 * Bring text to the form in which it is compared: BTC-USDT, btc/usdt and btc_usdt are one.
 *
 * @param {string} text
 * @returns {string}
 */
export function fold(text) {
  return text.toLowerCase().replace(/[-/_\s]/g, '');
}

/**
 * Say whether an element's `data-find` text holds what was typed.
 *
 * @param {Element} element
 * @param {string} typed already folded
 * @returns {boolean}
 */
export function matches(element, typed) {
  return fold(element.getAttribute('data-find') ?? '').includes(typed);
}
