/**
 * Cancelling all active orders of an account, in portions. Loaded when it is asked for.
 *
 * @module
 */

import { CANCEL } from './orderlink.js';
import { ACTIVE } from './ordermodel.js';

/** Slowly enough for the server's limit on messages. */
const PORTION = 25;
const PORTION_MS = 250;

/**
 * Cancel all that are active now, and say what came of it.
 *
 * @param {import('./ordermodel.js').Orders} orders
 * @param {import('./cancelling.js').Desk} desk
 */
export async function cancelAll(orders, desk) {
  const all = orders.active;
  for (let at = 0; at < all.length; at += PORTION) {
    const portion = all.slice(at, at + PORTION).filter(({ order_id: id }) => orders.get(id)?.status === ACTIVE);
    await Promise.allSettled(portion.map(({ order_id }) => desk.ask(CANCEL, { order_id })));
    if (all.length > PORTION) desk.news(`Cancelling: ${Math.min(at + PORTION, all.length)} of ${all.length}`);
    await new Promise((later) => setTimeout(later, PORTION_MS));
  }
  const known = await desk.sync();
  const { length } = orders.active;
  if (known && !length) desk.news('No order is active any more.');
  else desk.news(`${length === 1 ? 'One order is' : `${length} orders are`} still active${known ? '' : ' as far as is known'}.`);
}
