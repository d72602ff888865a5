/**
 * Exact decimal arithmetic on text, so that prices are never converted to binary floats. Pure.
 *
 * @module
 */

const FORM = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/;

/** @typedef {{units: bigint, scale: number}} Decimal a number as units × 10^-scale */

/**
 * Parse decimal text; null if it is not a number ("", null, "abc").
 *
 * @param {string | null | undefined} text
 * @returns {Decimal | null}
 */
export function read(text) {
  const found = typeof text === 'string' ? FORM.exec(text) : null;
  if (!found) return null;
  const [, sign, whole, fraction = '', exponent = '0'] = found;
  if (!whole && !fraction) return null;
  let units = BigInt(whole + fraction);
  let scale = fraction.length - Number(exponent);
  if (scale < 0) {
    units *= 10n ** BigInt(-scale);
    scale = 0;
  }
  return { units: sign === '-' ? -units : units, scale };
}

/**
 * Format a number with as many decimal places as its scale.
 *
 * @param {Decimal} number
 * @returns {string}
 */
function write({ units, scale }) {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const cut = digits.length - scale;
  return (units < 0n ? '-' : '') + digits.slice(0, cut) + (scale ? `.${digits.slice(cut)}` : '');
}

/**
 * Write a number without an exponent; text without one, or that is no number, is returned as it is.
 *
 * @param {string} text
 * @returns {string}
 */
export function plain(text) {
  const number = /e/i.test(text) ? read(text) : null;
  return number ? write(number) : text;
}

/**
 * Bring two numbers to one scale.
 *
 * @param {Decimal} a
 * @param {Decimal} b
 * @returns {[bigint, bigint, number]}
 */
function align(a, b) {
  const scale = Math.max(a.scale, b.scale);
  return [a.units * 10n ** BigInt(scale - a.scale), b.units * 10n ** BigInt(scale - b.scale), scale];
}

/**
 * Compare two decimal texts: -1, 0 or 1; null if either is not a number.
 *
 * @param {string | null | undefined} a
 * @param {string | null | undefined} b
 * @returns {-1 | 0 | 1 | null}
 */
export function compare(a, b) {
  const left = read(a);
  const right = read(b);
  if (!left || !right) return null;
  const [x, y] = align(left, right);
  return x < y ? -1 : x > y ? 1 : 0;
}

/**
 * Subtract exactly, keeping the larger number of decimal places; null if either is not a number.
 *
 * @param {string | null | undefined} a
 * @param {string | null | undefined} b
 * @returns {string | null}
 */
export function subtract(a, b) {
  const left = read(a);
  const right = read(b);
  if (!left || !right) return null;
  const [x, y, scale] = align(left, right);
  return write({ units: x - y, scale });
}

/**
 * Multiply exactly; null if either is not a number.
 *
 * @param {string | null | undefined} a
 * @param {string | null | undefined} b
 * @returns {string | null}
 */
export function multiply(a, b) {
  const left = read(a);
  const right = read(b);
  return left && right && write({ units: left.units * right.units, scale: left.scale + right.scale });
}

/**
 * Return `part` in percent of `whole`, rounded half away from zero to `digits`; null if undefined.
 *
 * @param {string | null | undefined} part
 * @param {string | null | undefined} whole
 * @param {number} digits
 * @returns {string | null}
 */
export function percent(part, whole, digits) {
  const above = read(part);
  const below = read(whole);
  if (!above || !below || below.units === 0n) return null;
  const [x, y] = align(above, below);
  const negative = x < 0n !== y < 0n;
  const top = (x < 0n ? -x : x) * 100n * 10n ** BigInt(digits);
  const bottom = y < 0n ? -y : y;
  const rounded = (top * 2n + bottom) / (bottom * 2n);
  return write({ units: negative ? -rounded : rounded, scale: digits });
}

/**
 * Return the position of `value` between `low` and `high`, 0 to 1, for drawing only; null if undefined.
 *
 * @param {string | null | undefined} value
 * @param {string | null | undefined} low
 * @param {string | null | undefined} high
 * @returns {number | null}
 */
export function position(value, low, high) {
  const share = percent(subtract(value, low), subtract(high, low), 2);
  return share === null ? null : Math.min(1, Math.max(0, Number(share) / 100));
}
