/**
 * The table of one instrument's quotes by source.
 *
 * @module
 */

import { subtract } from '../text/decimal.js';
import { make, mark, write, writeNumber } from '../page/paint.js';
import { age, asSentence } from '../text/format.js';

/** @typedef {import('./live.js').Venues} Venues */
/** @typedef {import('./live.js').VenueRow} VenueRow */

/** Class and name of each column of values. */
const COLUMNS = /** @type {const} */ ([
  ['price', 'Price'],
  ['bid', 'Bid'],
  ['bid_size', 'Size'],
  ['ask', 'Ask'],
  ['ask_size', 'Size'],
  ['spread', 'Spread'],
  ['age', 'Age'],
]);

/**
 * Build one row with empty cells.
 *
 * @param {string} source
 */
function build(source) {
  const serving = make('span', { class: 'badge serving', hidden: '' }, 'serving');
  const dot = make('i', { class: 'dot', 'aria-hidden': 'true' });
  const state = make('span', { class: 'badge state' }, dot, make('span'));
  // On a phone the rows are laid out as blocks with labels; the roles keep them a table for screen readers.
  const cells = Object.fromEntries(
    COLUMNS.map(([name, label]) => [name, make('td', { class: name, role: 'cell', 'data-label': label })]),
  );
  for (const name of ['bid', 'ask']) cells[name].append(make('b', { class: 'best', hidden: '' }, 'best'), make('span'));
  const head = make('th', { scope: 'row', role: 'rowheader' }, `${source} `, serving);
  const row = make('tr', { role: 'row' }, head, make('td', { role: 'cell' }, state), ...Object.values(cells));
  return { row, serving, state, cells };
}

export class VenueTable {
  #body;
  #digits;
  #best;
  /** @type {Map<string, ReturnType<typeof build>>} */
  #rows = new Map();
  /** @type {Venues | null} */
  #venues = null;
  #arrived = 0;

  /**
   * @param {HTMLElement} body
   * @param {HTMLElement} best where the best bid and ask are described
   * @param {import('../text/numbers.js').Digits} digits
   */
  constructor(body, best, digits) {
    this.#body = body;
    this.#digits = digits;
    this.#best = best;
  }

  /** Set the newest rows; `paint` shows them. @param {Venues | null} venues */
  update(venues) {
    this.#venues = venues;
    this.#arrived = Date.now();
  }

  /** Show the newest rows. @param {boolean} receiving whether the server is sending, so that they are current */
  paint(receiving) {
    const venues = this.#venues;
    if (!venues) return;
    const names = venues.sources.map((one) => one.source);
    if (names.join() !== [...this.#rows.keys()].join()) {
      this.#rows = new Map(names.map((name) => [name, build(name)]));
      this.#body.replaceChildren(...[...this.#rows.values()].map(({ row }) => row));
    }
    if (!names.length) {
      const why = venues.reason ? asSentence(venues.reason) : 'No source carries this instrument.';
      this.#body.replaceChildren(make('tr', { class: 'empty' }, make('td', { colspan: '9' }, why)));
    }
    for (const one of venues.sources) this.#fill(one, venues, receiving);
    const { best_bid_source: bid, best_ask_source: ask } = venues;
    const said = receiving && names.length > 1 && bid && ask ? [`Best live bid at ${bid}, best live ask at ${ask}.`] : [];
    // Reasons of live rows: incomplete or implausible data. Stale rows are marked as such.
    for (const one of venues.sources) if (receiving && !one.stale && one.reason) said.push(`${one.source}: ${one.reason}.`);
    write(this.#best, said.join(' '));
    this.paintAges();
  }

  /**
   * @param {VenueRow} one
   * @param {Venues} venues
   * @param {boolean} receiving
   */
  #fill(one, venues, receiving) {
    const parts = this.#rows.get(one.source);
    if (!parts) return;
    const { row, serving, state, cells } = parts;
    mark(row, 'stale', one.stale || !receiving ? '' : null);
    serving.hidden = !one.serving || !receiving;
    const known = one.stale && one.state === 'live' ? 'stale' : one.state;
    const word = receiving ? known : 'unknown';
    mark(state, 'state', word);
    write(/** @type {Element} */ (state.lastElementChild), word);
    const digits = this.#digits.prices(one.price, one.bid, one.ask);
    const sizes = this.#digits.sizes(one.bid_size, one.ask_size);
    writeNumber(cells.price, one.price, digits);
    for (const name of /** @type {const} */ (['bid_size', 'ask_size'])) writeNumber(cells[name], one[name], sizes);
    for (const name of /** @type {const} */ (['bid', 'ask'])) {
      const [label, value] = /** @type {HTMLElement[]} */ ([...cells[name].children]);
      writeNumber(value, one[name], digits);
      label.hidden = !receiving || venues.sources.length < 2 || venues[`best_${name}_source`] !== one.source;
    }
    writeNumber(cells.spread, subtract(one.ask, one.bid), digits);
  }

  paintAges() {
    const since = Date.now() - this.#arrived;
    for (const one of this.#venues?.sources ?? []) {
      const cell = this.#rows.get(one.source)?.cells.age;
      if (cell) write(cell, age(one.age_ms === null ? null : Math.max(0, one.age_ms + since), true));
    }
  }
}
