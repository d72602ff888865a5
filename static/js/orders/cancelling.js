/**
 * Cancelling one order or, after a confirmation, all active ones.
 *
 * @module
 */

import { CANCEL, OrderError } from './orderlink.js';
import { node, write } from '../page/paint.js';

/**
 * @typedef {object} CancelActions what cancelling needs from the page
 * @property {(type: number, message: object) => Promise<any>} request
 * @property {() => Promise<boolean>} sync request the orders again
 * @property {(text: string) => void} notify
 */

export class Cancelling {
  #orders;
  #actions;
  #busy = false;

  /**
   * @param {import('./ordermodel.js').Orders} orders
   * @param {CancelActions} actions
   */
  constructor(orders, actions) {
    this.#orders = orders;
    this.#actions = actions;
    node('cancel-all').addEventListener('click', () => {
      if (!this.#busy && this.#orders.active.length) this.#confirm(true);
    });
    node('confirm-no').addEventListener('click', () => this.#confirm(false));
    node('confirm-yes').addEventListener('click', () => this.#all());
    node('confirm').addEventListener('keydown', ({ key }) => key === 'Escape' && this.#confirm(false));
  }

  /** Show how many are active. */
  paint() {
    const { length } = this.#orders.active;
    write(node('cancel-all'), `Cancel all active (${length})`);
    write(node('confirm-count'), length === 1 ? 'the active order' : `all ${length} active orders`);
    node('cancel-all').setAttribute('aria-disabled', String(this.#busy || !length));
  }

  /** Cancel one. @param {string} id @param {import('./orderrow.js').OrderRow} row */
  async one(id, row) {
    row.cancelling(true);
    try {
      await this.#actions.request(CANCEL, { order_id: id });
    } catch (error) {
      if (!(error instanceof OrderError)) throw error;
      this.#actions.notify(`Not cancelled: ${row.words}. ${error.message}`);
      if (error.code !== 'unsent') this.#actions.sync();
    } finally {
      row.cancelling(false);
    }
  }

  async #all() {
    this.#confirm(false);
    this.#busy = true;
    const { cancelAll } = await import('./cancelall.js');
    await cancelAll(this.#orders, this.#actions);
    this.#busy = false;
  }

  /** @param {boolean} shown whether to ask for confirmation */
  #confirm(shown) {
    const inside = node('confirm').contains(document.activeElement);
    node('confirm').hidden = !shown;
    node('cancel-all').hidden = shown;
    if (shown) node('confirm-no').focus();
    else if (inside) node('cancel-all').focus();
  }
}
