/**
 * The orders of an account: what lists and reports told, merged; what is shown of them, in its order. Pure.
 *
 * @module
 */

import { compare } from './decimal.js';
import { fold } from './search.js';

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
 * @property {number | null} creation_time null where only a later report told of it
 * @property {number} change_time
 * @property {string | null} [reason] why it ended; lists do not tell it
 * @property {number} [rank] in which order this page learned of them
 *
 * @typedef {{find: string, status: number, column: string, down: boolean}} Choice status 0: every one
 */

export const SIDES = ['', 'Buy', 'Sell'];
export const STATUSES = ['', 'Active', 'Filled', 'Rejected', 'Cancelled'];
export const ACTIVE = 1;
/** Finished orders beyond this are forgotten, oldest first. */
const MOST_DONE = 5_000;
const DECIMALS = new Set(['price', 'amount', 'cum_amount', 'avg_price']);

/**
 * Say whether what was told goes on from what is held: an order never becomes active again, nor loses a trade.
 *
 * @param {Order} held
 * @param {Order} told
 */
function goesOn(held, told) {
  if (told.status === ACTIVE && held.status !== ACTIVE) return false;
  return compare(told.cum_amount, held.cum_amount) !== -1;
}

/**
 * Compare by a column: what is not known comes last both up and down, of equals the newer comes first.
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
  /** @type {Map<string, Order>} the one learned of first comes first */
  #held = new Map();
  /** @type {Set<string> | null} what reports told of since the list was asked for; null: none is on its way */
  #since = null;
  #rank = 0;

  /** A list is being asked for. */
  expect() {
    this.#since = new Set();
  }

  /** Take the server's list: what is not in it is gone, unless it came after it was made. @param {Order[]} orders oldest first */
  list(orders) {
    const told = new Set(orders.map((one) => one.order_id));
    for (const id of this.#held.keys()) if (!told.has(id) && !this.#since?.has(id)) this.#held.delete(id);
    this.#since = null;
    for (const one of orders) this.#take(one);
  }

  /** Take a report. @param {import('./orderlink.js').Report} report @returns {Order} as it is now */
  report(report) {
    this.#since?.add(report.order_id);
    const { order_status: status, time, exec_type, ...rest } = report;
    const creation_time = exec_type === 'new' ? time : null;
    return this.#take({ ...rest, status, change_time: time, creation_time });
  }

  /** Forget all: another account. */
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

  /** Give those that are chosen, in their order. @param {Choice} choice @returns {Order[]} */
  chosen({ find, status, column, down }) {
    const typed = fold(find);
    return [...this.#held.values()]
      .filter((one) => (!status || one.status === status) && fold(one.instrument).includes(typed))
      .sort((a, b) => order(a, b, column, down));
  }

  /** Count by status; 0: all. @returns {number[]} */
  count() {
    const found = STATUSES.map(() => 0);
    for (const { status } of this.#held.values()) found[status] += 1;
    found[0] = this.#held.size;
    return found;
  }

  /** @param {Order} told @returns {Order} */
  #take(told) {
    const held = this.#held.get(told.order_id);
    if (held && !goesOn(held, told)) {
      held.creation_time ??= told.creation_time;
      return held;
    }
    const taken = {
      ...told,
      creation_time: told.creation_time ?? held?.creation_time ?? null,
      reason: told.reason ?? held?.reason ?? null,
      rank: held?.rank ?? ++this.#rank,
    };
    this.#held.set(told.order_id, taken);
    if (this.#held.size > MOST_DONE) this.#forget();
    return taken;
  }

  #forget() {
    for (const [id, { status }] of this.#held) {
      if (status === ACTIVE) continue;
      this.#held.delete(id);
      return;
    }
  }
}
