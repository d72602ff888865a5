/**
 * One row of the table of orders.
 *
 * @module
 */

import { percent } from '../text/decimal.js';
import { ACTIVE, SIDES, STATUSES } from './ordermodel.js';
import { flash, make, mark, write, writeNumber } from '../page/paint.js';
import { when } from '../zone.js';

/** @typedef {import('./ordermodel.js').Order} Order */

/**
 * Describe an order: "buy 10 EUR/RUB at 87".
 *
 * @param {Order | {side: number, amount: string, price: string | null}} order
 * @param {string} name of its instrument
 * @returns {string}
 */
export function words(order, name) {
  return `${SIDES[order.side].toLowerCase()} ${order.amount} ${name} at ${order.price ?? 'the market'}`;
}

export class OrderRow {
  #order;
  #name;
  #filled = make('span');
  #bar = make('progress', { max: '100', value: '0' });
  #avg = make('span');
  #status = make('span', { class: 'status' });
  #arrow = make('i');
  #reason = make('small');
  #created = make('time');
  #link = make('a');
  #cancel = make('button', { class: 'button', type: 'button' }, 'Cancel');

  /**
   * Build the row, with what never changes of an order.
   *
   * @param {Order} order
   * @param {string} name of its instrument
   * @param {string} symbol
   */
  constructor(order, name, symbol) {
    this.#order = order;
    this.#name = name;
    this.#link.setAttribute('href', `./${symbol}`);
    this.#link.append(name);
    const side = make('span', { class: 'side', 'data-side': String(order.side) }, SIDES[order.side]);
    const [price, amount] = [make('span'), make('span')];
    writeNumber(price, order.price ?? 'market');
    writeNumber(amount, order.amount);
    this.#cancel.setAttribute('aria-label', `Cancel: ${words(order, name)}`);
    this.#bar.setAttribute('aria-label', 'Filled');
    const cell = (/** @type {string} */ column, /** @type {string} */ label, /** @type {Node[]} */ ...inside) =>
      make('td', { role: 'cell', class: column, 'data-label': label }, ...inside);
    const type = order.time_in_force === 'gtc' ? order.type : `${order.type} ${order.time_in_force.toUpperCase()}`;
    this.element = make(
      'tr',
      { role: 'row', 'data-order': order.order_id },
      cell('created', 'Time', this.#created),
      make('th', { scope: 'row', role: 'rowheader' }, this.#link),
      cell('side', 'Side', side),
      cell('type', 'Type', document.createTextNode(type)),
      cell('price', 'Price', price),
      cell('amount', 'Amount', amount),
      cell('filled', 'Filled', this.#bar, this.#filled),
      cell('avg', 'Average', this.#avg),
      cell('state', 'Status', this.#status, this.#reason),
      cell('act', '', this.#cancel),
    );
    this.paint(order);
  }

  /** Show the order as it is now; changes flash. @param {Order} order */
  paint(order) {
    const before = this.#order;
    this.#order = order;
    write(this.#created, when(order.creation_time));
    this.element.dataset.status = String(order.status);
    const share = percent(order.cum_amount, order.amount, 2) ?? '0';
    this.#bar.setAttribute('value', share);
    writeNumber(this.#filled, order.cum_amount);
    mark(this.#filled, 'none', /[1-9]/.test(order.cum_amount) ? null : '');
    writeNumber(this.#avg, order.avg_price);
    const part = order.status === ACTIVE && Number(share) > 0 ? `Active, ${Math.floor(Number(share))} %` : STATUSES[order.status];
    write(this.#status, part);
    write(this.#reason, order.reason ?? '');
    const ended = order.status !== ACTIVE;
    // a hidden button would lose the focus
    if (ended && document.activeElement === this.#cancel) this.#link.focus();
    this.#cancel.hidden = ended;
    if (before.status === order.status && before.cum_amount === order.cum_amount) return;
    flash(this.#status, this.#arrow, order.status > 2 ? 'down' : 'up');
  }

  /** Show whether the order is being cancelled. @param {boolean} busy */
  cancelling(busy) {
    this.#cancel.setAttribute('aria-disabled', String(busy));
    write(this.#cancel, busy ? 'Cancelling' : 'Cancel');
  }

  get words() {
    return words(this.#order, this.#name);
  }
}
