/**
 * Numbers as people type or paste them: a comma may be the decimal point, or stand between thousands. Pure.
 *
 * @module
 */

const GROUPED = /^\d{1,3}(?:[ ,.\u00a0\u202f'’]\d{3})+$/;

/**
 * Read a typed number as plain text with a point; null where it could mean two numbers ("1,234").
 *
 * @param {string} text
 * @returns {string | null} as typed where it is no number at all
 */
export function plain(text) {
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
 * Take zeros that say nothing off the end of a decimal text.
 *
 * @param {string | null} text
 * @returns {string | null}
 */
export function trimmed(text) {
  return text?.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
