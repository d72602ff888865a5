/**
 * Orders as CSV. Pure; loaded on demand.
 *
 * @module
 */

import { SIDES, STATUSES } from './ordermodel.js';

/** @typedef {import('./ordermodel.js').Order} Order */

const COLUMNS = /** @type {const} */ ([
  ...['order_id', 'client_order_id', 'created', 'changed', 'instrument', 'side', 'type', 'time_in_force'],
  ...['price', 'amount', 'cum_amount', 'leaves_amount', 'avg_price', 'status', 'reason'],
]);

/**
 * Write orders as CSV (RFC 4180), times in ISO 8601, numbers exactly as they are.
 *
 * @param {Order[]} orders
 * @returns {string}
 */
export function csv(orders) {
  const lines = orders.map((one) => {
    const values = {
      ...one,
      created: stamp(one.creation_time),
      changed: stamp(one.change_time),
      side: SIDES[one.side].toLowerCase(),
      status: STATUSES[one.status].toLowerCase(),
    };
    return COLUMNS.map((name) => quoted(/** @type {any} */ (values)[name] ?? '')).join(',');
  });
  return [COLUMNS.join(','), ...lines, ''].join('\r\n');
}

/** @param {number | null} ms */
function stamp(ms) {
  return ms === null ? '' : new Date(ms).toISOString();
}

/** @param {string} raw */
function quoted(raw) {
  // Prevent formula injection in spreadsheets: client_order_id is arbitrary text.
  const text = /^[=+\-@\t\r]/.test(raw) && !/^-[\d.]+$/.test(raw) ? `'${raw}` : raw;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
