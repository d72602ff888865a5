/**
 * Numbers as people type or paste them: a comma may be a decimal point or a thousands separator. Pure.
 *
 * @module
 */

const GROUPED = /^\d{1,3}(?:[ ,.\u00a0\u202f'’]\d{3})+$/;

/**
 * Normalise a typed number to digits and a decimal point; null if it is ambiguous ("1,234").
 *
 * @param {string} text
 * @returns {string | null} as typed if it is not a number
 */
export function canonical(text) {
  const typed = text.trim();
  const [, whole = typed, mark = '', fraction = ''] = /^(.*?)([.,])(\d*)$/.exec(typed) ?? [];
  if (!mark) return GROUPED.test(typed) ? typed.replace(/\D/g, '') : typed;
  const separators = new Set(whole.replace(/\d/g, ''));
  // 1,234,567
  if (separators.size === 1 && separators.has(mark)) return GROUPED.test(typed) ? typed.replace(/\D/g, '') : typed;
  // 1.234,5
  if (separators.size) return GROUPED.test(whole) ? `${whole.replace(/\D/g, '')}.${fraction}` : typed;
  if (mark === '.') return typed;
  return fraction.length === 3 && /^[1-9]\d{0,2}$/.test(whole) ? null : `${whole}.${fraction}`;
}

/**
 * Remove trailing zeros after the decimal point.
 *
 * @param {string | null} text
 * @returns {string | null}
 */
export function trimmed(text) {
  return text?.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
