/**
 * Formatting of numbers: thousands separators, and as many decimal places as the instrument's steps have. Pure.
 *
 * @module
 */

import { plain } from './decimal.js';

const FORM = /^([-+]?)(\d+)(?:\.(\d*))?$/;

/**
 * Format a number without losing significant digits, and without an exponent; anything else is returned as it is.
 *
 * @param {string} text
 * @param {number} digits minimum number of decimal places
 * @returns {string}
 */
export function shown(text, digits = 0) {
  const [, sign, whole, fraction = ''] = FORM.exec(plain(text)) ?? [];
  if (whole === undefined) return text;
  const rest = fraction.replace(/0+$/, '').padEnd(digits, '0');
  return `${sign}${whole.replace(/\B(?=(\d{3})+$)/g, ',')}${rest && `.${rest}`}`;
}

/** Decimal places of one instrument's prices and sizes: those of its steps, or more once a number has more. */
export class Digits {
  /** @param {DOMStringMap} given `digits` and `sizeDigits`, if the steps are known */
  constructor({ digits, sizeDigits }) {
    this.price = Number(digits ?? 0);
    this.size = Number(sizeDigits ?? 0);
  }

  /** @param {...(string | null | undefined)} texts prices @returns {number} decimal places to show them with */
  prices(...texts) {
    return (this.price = most(this.price, texts));
  }

  /** @param {...(string | null | undefined)} texts sizes @returns {number} */
  sizes(...texts) {
    return (this.size = most(this.size, texts));
  }
}

/** @param {number} least @param {(string | null | undefined)[]} texts */
function most(least, texts) {
  return Math.max(least, ...texts.map((text) => FORM.exec(plain(text ?? ''))?.[3]?.replace(/0+$/, '').length ?? 0));
}
