/**
 * The table of orders: sorted, filtered and paged; the choices are kept in the URL.
 *
 * @module
 */

import { getParam, setParams } from '../page/urlstate.js';
import { OrderRow } from './orderrow.js';
import { make, node, write } from '../page/paint.js';

/** @typedef {import('./ordermodel.js').Order} Order */

const PAGE = 50;
/** Rows are painted at most this often, and for at most a tenth of the time, however many orders there are. */
const REST_MS = 200;
const SHARE = 10;
/** They do not move while the pointer moves over them, or for this long after. */
const POINTING_MS = 1_500;
const NAMES = ['', 'active', 'filled', 'rejected', 'cancelled'];

export class OrderTable {
  #orders;
  #describe;
  #table = /** @type {HTMLTableElement} */ (node('orders'));
  #body = /** @type {HTMLElement} */ (this.#table.tBodies[0]);
  #find = /** @type {HTMLInputElement} */ (node('find'));
  #chips = /** @type {HTMLElement[]} */ ([...node('statuses').querySelectorAll('button')]);
  /** @type {Map<string, OrderRow>} of this page of the table */
  #rows = new Map();
  /** @type {import('./ordermodel.js').Choice} */
  #choice;
  #page = 0;
  #pointed = -Infinity;
  #next = 0;
  #due = 0;
  /** whether the list has been received */
  ready = false;

  /**
   * @param {import('./ordermodel.js').Orders} orders
   * @param {(order: Order) => {symbol: string, name: string}} describe
   * @param {(id: string, row: OrderRow) => void} cancel
   */
  constructor(orders, describe, cancel) {
    this.#orders = orders;
    this.#describe = describe;
    const heads = /** @type {HTMLElement[]} */ ([...this.#table.querySelectorAll('thead button')]);
    const sorted = heads.find(({ dataset }) => dataset.column === getParam('sort')) ?? heads[0];
    this.#choice = {
      find: (this.#find.value = getParam('find')),
      status: Math.max(0, NAMES.indexOf(getParam('status'))),
      column: sorted.dataset.column ?? '',
      down: (getParam('order') || sorted.dataset.first) === 'down',
    };
    for (const head of heads) head.addEventListener('click', () => this.#sort(head));
    for (const chip of this.#chips) chip.addEventListener('click', () => this.#choose({ status: Number(chip.dataset.status) }));
    this.#find.addEventListener('input', () => this.#choose({ find: this.#find.value }));
    node('newer').addEventListener('click', () => this.#turn(-1));
    node('older').addEventListener('click', () => this.#turn(1));
    node('csv').addEventListener('click', () => this.#save());
    this.#body.addEventListener('pointermove', () => (this.#pointed = performance.now()), { passive: true });
    this.#body.addEventListener('click', ({ target }) => {
      const button = target instanceof Element ? target.closest('button') : null;
      const id = button?.closest('tr')?.dataset.order ?? '';
      const row = this.#rows.get(id);
      if (row && button?.getAttribute('aria-disabled') !== 'true') cancel(id, row);
    });
    this.#show();
  }

  /** Schedule painting. */
  refresh() {
    if (this.#due) return;
    const wait = Math.max(0, this.#next - performance.now());
    this.#due = setTimeout(() => requestAnimationFrame(() => this.#paint(this.#held)), wait);
  }

  /** Start again, for another account. */
  clear() {
    this.ready = false;
    this.#page = 0;
    this.#paint(false);
  }

  /** Whether rows must not move, because the user is pointing at one or has focused one. */
  get #held() {
    return performance.now() - this.#pointed < POINTING_MS || this.#body.querySelector(':focus-visible') !== null;
  }

  /** @param {HTMLElement} head */
  #sort({ dataset: { column = '', first } }) {
    this.#choose({ column, down: this.#choice.column === column ? !this.#choice.down : first === 'down' });
  }

  /** @param {Partial<import('./ordermodel.js').Choice>} change */
  #choose(change) {
    Object.assign(this.#choice, change);
    this.#page = 0;
    const { find, status, column, down } = this.#choice;
    setParams({ find, status: NAMES[status], sort: column, order: down ? 'down' : 'up' });
    this.#show();
  }

  /** @param {number} step */
  #turn(step) {
    this.#page += step;
    this.#paint(false);
  }

  #show() {
    const { column, down, status } = this.#choice;
    for (const head of this.#table.querySelectorAll('thead th')) {
      const chosen = column && head.querySelector('button')?.dataset.column === column;
      if (chosen) head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    }
    for (const chip of this.#chips) chip.setAttribute('aria-pressed', String(Number(chip.dataset.status) === status));
    this.#paint(false);
  }

  /** @param {boolean} held keep the rows where they are and only paint their values */
  #paint(held) {
    const began = performance.now();
    this.#due = 0;
    if (held) setTimeout(() => this.refresh(), POINTING_MS);
    const all = this.#orders.chosen(this.#choice);
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(all.length / PAGE) - 1));
    const from = this.#page * PAGE;
    const shown = held ? this.#still() : all.slice(from, from + PAGE);
    const rows = new Map(shown.map((order) => [order.order_id, this.#rows.get(order.order_id) ?? this.#build(order)]));
    for (const order of shown) rows.get(order.order_id)?.paint(order);
    for (const [id, row] of this.#rows) if (!rows.has(id)) row.element.remove();
    this.#rows = rows;
    /** @type {Element | null} */
    let last = null;
    for (const { element } of rows.values()) {
      const next = /** @type {Element | null} */ (last ? last.nextElementSibling : this.#body.firstElementChild);
      // move only those out of place
      if (next !== element) this.#body.insertBefore(element, next);
      last = element;
    }
    this.#say(all.length, from, shown.length);
    this.#next = began + Math.max(REST_MS, SHARE * (performance.now() - began));
  }

  /** @returns {Order[]} those on this page of the table, as they are now */
  #still() {
    return [...this.#rows.keys()].flatMap((id) => this.#orders.get(id) ?? []);
  }

  /** @param {Order} order */
  #build(order) {
    const { name, symbol } = this.#describe(order);
    return new OrderRow(order, name, symbol);
  }

  /**
   * @param {number} all that are chosen
   * @param {number} from
   * @param {number} here
   */
  #say(all, from, here) {
    const counts = this.#orders.count();
    for (const chip of this.#chips) write(/** @type {Element} */ (chip.lastElementChild), String(counts[Number(chip.dataset.status)]));
    const several = all > PAGE;
    write(node('range'), several ? `${from + 1}–${from + here} of ${all}` : '');
    for (const [id, off] of /** @type {const} */ ([['newer', from === 0], ['older', from + PAGE >= all]])) {
      node(id).setAttribute('aria-disabled', String(off));
      /** @type {HTMLButtonElement} */ (node(id)).hidden = !several;
    }
    node('no-orders').hidden = here > 0;
    const none = counts[0] ? 'No orders match.' : 'No orders yet.';
    write(node('no-orders'), this.ready ? none : 'Loading orders …');
  }

  /** Download all matching orders as CSV. */
  async #save() {
    const { csv } = await import('./ordercsv.js');
    const data = new Blob([csv(this.#orders.chosen(this.#choice))], { type: 'text/csv' });
    const url = URL.createObjectURL(data);
    const day = new Date().toISOString().slice(0, 10);
    make('a', { href: url, download: `orders-${day}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}
