/**
 * Cancelling all active orders of an account, in batches. Loaded on demand.
 *
 * @module
 */

import { CANCEL } from './orderlink.js';
import { ACTIVE } from './ordermodel.js';

/** Slow enough for the server's rate limit. */
const BATCH = 25;
const BATCH_MS = 250;

/**
 * Cancel all orders that are active now, and announce the result.
 *
 * @param {import('./ordermodel.js').Orders} orders
 * @param {import('./cancelling.js').CancelActions} actions
 */
export async function cancelAll(orders, actions) {
  const all = orders.active;
  for (let at = 0; at < all.length; at += BATCH) {
    const batch = all.slice(at, at + BATCH).filter(({ order_id: id }) => orders.get(id)?.status === ACTIVE);
    await Promise.allSettled(batch.map(({ order_id }) => actions.request(CANCEL, { order_id })));
    if (all.length > BATCH) actions.notify(`Cancelling: ${Math.min(at + BATCH, all.length)} of ${all.length}`);
    await new Promise((later) => setTimeout(later, BATCH_MS));
  }
  const known = await actions.sync();
  const { length } = orders.active;
  if (known && !length) actions.notify('No active orders left.');
  else actions.notify(`${length === 1 ? 'One order is' : `${length} orders are`} still active${known ? '' : ' as far as we know'}.`);
}
