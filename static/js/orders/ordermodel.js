/**
 * The orders of an account, merged from lists and reports, and filtered and sorted for display. Pure.
 *
 * @module
 */

import { compare } from '../text/decimal.js';
import { fold } from '../text/search.js';

/**
 * @typedef {object} Order
 * @property {string} order_id
 * @property {string | null} client_order_id
 * @property {string} instrument as the server names it
 * @property {number} side 1: buy, 2: sell
 * @property {string} type
 * @property {string} time_in_force
 * @property {number} status
 * @property {string} amount
 * @property {string | null} price null: a market order
 * @property {string} cum_amount
 * @property {string} leaves_amount
 * @property {string | null} avg_price
 * @property {number | null} creation_time null if known only from a later report
 * @property {number} change_time
 * @property {string | null} [reason] why it ended; lists do not contain it
 * @property {number} [rank] the order in which this page learned of them
 *
 * @typedef {{find: string, status: number, column: string, down: boolean}} Choice status 0: all
 */

export const SIDES = ['', 'Buy', 'Sell'];
export const STATUSES = ['', 'Active', 'Filled', 'Rejected', 'Cancelled'];
export const ACTIVE = 1;
/** Beyond this, finished orders are forgotten, oldest first. */
const MAX_ORDERS = 5_000;
const DECIMALS = new Set(['price', 'amount', 'cum_amount', 'avg_price']);

/**
 * Return whether an update is not older than what is held: an order never becomes active again, nor loses a trade.
 *
 * @param {Order} held
 * @param {Order} update
 */
function isCurrent(held, update) {
  if (update.status === ACTIVE && held.status !== ACTIVE) return false;
  return compare(update.cum_amount, held.cum_amount) !== -1;
}

/**
 * Compare by a column: unknown values come last in both directions; of equal ones the newer comes first.
 *
 * @param {Order} a
 * @param {Order} b
 * @param {string} column
 * @param {boolean} down
 * @returns {number}
 */
export function order(a, b, column, down) {
  const left = /** @type {any} */ (a)[column] ?? null;
  const right = /** @type {any} */ (b)[column] ?? null;
  const newer = (b.rank ?? 0) - (a.rank ?? 0);
  if (left === null || right === null) return Number(left === null) - Number(right === null) || newer;
  const way = DECIMALS.has(column) ? (compare(left, right) ?? 0) : left < right ? -1 : Number(left > right);
  return (down ? -way : way) || newer;
}

export class Orders {
  /** @type {Map<string, Order>} in the order in which this page learned of them */
  #held = new Map();
  /** @type {Set<string> | null} ids in reports since the list was requested; null: no request is pending */
  #since = null;
  #rank = 0;

  /** Note that a list is being requested. */
  expect() {
    this.#since = new Set();
  }

  /** Apply the server's list: other orders are gone, unless reported since the request. @param {Order[]} orders oldest first */
  list(orders) {
    const listed = new Set(orders.map((one) => one.order_id));
    for (const id of this.#held.keys()) if (!listed.has(id) && !this.#since?.has(id)) this.#held.delete(id);
    this.#since = null;
    for (const one of orders) this.#apply(one);
  }

  /** Apply a report. @param {import('./orderlink.js').Report} report @returns {Order} as it is now */
  report(report) {
    this.#since?.add(report.order_id);
    const { order_status: status, time, exec_type, ...rest } = report;
    const creation_time = exec_type === 'new' ? time : null;
    return this.#apply({ ...rest, status, change_time: time, creation_time });
  }

  /** Forget everything, for another account. */
  clear() {
    this.#held.clear();
    this.#since = null;
  }

  /** @returns {Order[]} */
  get active() {
    return [...this.#held.values()].filter((one) => one.status === ACTIVE);
  }

  /** @param {string} id @returns {Order | undefined} */
  get(id) {
    return this.#held.get(id);
  }

  /** @param {string} id client_order_id @returns {Order | undefined} */
  named(id) {
    return [...this.#held.values()].find((one) => one.client_order_id === id);
  }

  /** Filter and sort the orders. @param {Choice} choice @returns {Order[]} */
  chosen({ find, status, column, down }) {
    const typed = fold(find);
    return [...this.#held.values()]
      .filter((one) => (!status || one.status === status) && fold(one.instrument).includes(typed))
      .sort((a, b) => order(a, b, column, down));
  }

  /** Count by status; index 0: all. @returns {number[]} */
  count() {
    const found = STATUSES.map(() => 0);
    for (const { status } of this.#held.values()) found[status] += 1;
    found[0] = this.#held.size;
    return found;
  }

  /** @param {Order} update @returns {Order} */
  #apply(update) {
    const held = this.#held.get(update.order_id);
    if (held && !isCurrent(held, update)) {
      held.creation_time ??= update.creation_time;
      return held;
    }
    const merged = {
      ...update,
      creation_time: update.creation_time ?? held?.creation_time ?? null,
      reason: update.reason ?? held?.reason ?? null,
      rank: held?.rank ?? ++this.#rank,
    };
    this.#held.set(update.order_id, merged);
    if (this.#held.size > MAX_ORDERS) this.#forget();
    return merged;
  }

  #forget() {
    for (const [id, { status }] of this.#held) {
      if (status === ACTIVE) continue;
      this.#held.delete(id);
      return;
    }
  }
}
