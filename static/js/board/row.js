/**
 * One row of the board: its cells, what they show, and what it is sorted by.
 *
 * @module
 */

import { compare, multiply, percent, subtract } from '../text/decimal.js';
import { Digits } from '../text/numbers.js';
import { dim, exact, flash, mark, write, writeNumber } from '../page/paint.js';
import { hourChange, path } from './sparks.js';
import { age, ARROWS, direction, NOTHING, signed } from '../text/format.js';

/** @typedef {import('../live/live.js').Quote} Quote */

/** Large numbers in a narrow column; the tooltip has the exact one. */
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 });

export class Row {
  /** Whether the row is visible; otherwise it neither flashes nor draws its sparkline. */
  seen = false;
  /** Whether the sparkline must be drawn again. */
  undrawn = true;
  /** @type {Quote | undefined} as shown */
  quote;
  /** @type {Quote | undefined} what it is sorted by, shown or not */
  newest;
  /** @type {string | null} the hour's change, as shown */
  hour = null;
  #cells;
  #digits;

  /**
   * @param {HTMLTableRowElement} element
   * @param {number} index its position in the unsorted table
   */
  constructor(element, index) {
    const cell = (/** @type {string} */ name) => /** @type {HTMLElement} */ (element.querySelector(name));
    this.element = element;
    this.index = index;
    this.symbol = element.dataset.symbol ?? '';
    this.home = /** @type {HTMLElement} */ (element.parentElement);
    /** the group it is shown in */
    this.group = this.home;
    this.star = cell('.star button');
    this.#digits = new Digits(element.dataset);
    this.#cells = {
      head: cell('th'),
      price: cell('.price .value'),
      arrow: cell('.price .arrow'),
      change: cell('.change'),
      hour: cell('.hour span'),
      line: cell('.hour path'),
      bid: cell('.bid'),
      ask: cell('.ask'),
      spread: cell('.spread'),
      volume: cell('.volume'),
      high: cell('.high_24h'),
      low: cell('.low_24h'),
      source: cell('.source .badge'),
      old: cell('.age .old'),
      word: cell('.age .word'),
    };
  }

  /** Whether the value is a random walk, which may be zero or negative, rather than a price. */
  get walks() {
    return Boolean(this.newest?.synthetic && !this.newest.base);
  }

  /** The 24 h change in percent; null where unknown or, for a random walk, meaningless. */
  get #share() {
    return this.walks ? null : (this.newest?.change_24h ?? null);
  }

  /** The 24 h volume in the quote currency, at the last price: only so can instruments be compared. */
  get #turnover() {
    return this.walks ? null : multiply(this.newest?.volume_24h, this.newest?.price);
  }

  /** The 24 h change, in percent if possible, else absolute. */
  get #day() {
    return this.#share ?? this.newest?.change_abs_24h ?? null;
  }

  /**
   * Paint what has changed.
   *
   * @param {Quote | undefined} quote undefined: the server has none
   * @param {boolean} quietly paint everything again, without flashing
   */
  paint(quote, quietly) {
    const { price, arrow, change, bid, ask, spread } = this.#cells;
    const before = this.quote;
    this.quote = this.newest = quote;
    const digits = this.#digits.price;
    const all = this.#digits.prices(quote?.price, quote?.bid, quote?.ask) > digits || quietly;
    if (quote?.price !== before?.price || all) {
      writeNumber(price, quote?.price, this.#digits.price);
      const way = quietly ? null : compare(quote?.price, before?.price);
      if (way) flash(price, arrow, way > 0 ? 'up' : 'down', this.seen);
    }
    if (quote?.change_abs_24h !== before?.change_abs_24h || quote?.change_24h !== before?.change_24h || quietly) {
      paintChange(change, this.#day, this.#share === null ? '' : ' %');
    }
    if (quote?.bid !== before?.bid || quote?.ask !== before?.ask || all) {
      writeNumber(bid, quote?.bid, this.#digits.price);
      writeNumber(ask, quote?.ask, this.#digits.price);
      writeNumber(spread, subtract(quote?.ask, quote?.bid), this.#digits.price);
    }
    if (quote?.volume_24h !== before?.volume_24h || quote?.high_24h !== before?.high_24h || quote?.low_24h !== before?.low_24h || all) {
      this.#paintDay(quote);
    }
    if (quote?.source !== before?.source || quote?.stale !== before?.stale || quietly) this.#paintSource(quote);
  }

  /** @param {Quote | undefined} quote */
  #paintDay(quote) {
    const { volume, high, low } = this.#cells;
    const turnover = this.#turnover;
    write(volume, turnover === null ? NOTHING : SHORT.format(Number(turnover)));
    exact.set(volume, turnover ?? '');
    writeNumber(high, quote?.high_24h, this.#digits.price);
    writeNumber(low, quote?.low_24h, this.#digits.price);
  }

  /** @param {Quote | undefined} quote */
  #paintSource(quote) {
    const { head, price, source, word } = this.#cells;
    const kind = quote?.synthetic ? 'synthetic' : null;
    write(source, quote?.source ?? 'none');
    mark(source, 'kind', kind);
    mark(head, 'source', quote?.source ?? 'none');
    mark(head, 'kind', kind);
    const stale = !quote || quote.stale;
    if (stale) dim(price);
    mark(this.element, 'stale', stale ? '' : null);
    write(word, stale ? 'STALE' : '');
  }

  /** @param {import('../live/clock.js').ServerClock} clock */
  paintAge(clock) {
    write(this.#cells.old, age(clock.age(this.quote?.received)));
  }

  /**
   * Show the change over the last hour; draw the sparkline if the row is visible.
   *
   * @param {import('./sparks.js').Point[]} points
   * @param {number} now server's clock, ms
   */
  draw(points, now) {
    this.hour = hourChange(points, this.walks);
    paintChange(this.#cells.hour, this.hour, this.walks ? '' : ' %');
    mark(this.#cells.line, 'way', this.hour === null ? null : direction(this.hour));
    this.undrawn = !this.seen;
    if (this.seen) this.#cells.line.setAttribute('d', path(points, now));
  }

  /**
   * Compute the change over the last hour, to sort by it a row that is not drawn.
   *
   * @param {import('./sparks.js').Point[]} points
   */
  compute(points) {
    this.hour = hourChange(points, this.walks);
  }

  /** Show whether it is a favourite. @param {boolean} marked */
  paintStar(marked) {
    this.star.setAttribute('aria-pressed', String(marked));
    write(/** @type {Element} */ (this.star.firstElementChild), marked ? '★' : '☆');
  }

  /** The row's value in a column, as text or as a number; null where unknown. @param {string} column */
  value(column) {
    const quote = this.newest;
    switch (column) {
      case 'symbol':
        return this.symbol;
      case 'hour':
        return this.hour;
      case 'change':
        return this.#day;
      case 'spread': {
        // Spreads of very different prices compare only in percent, which a random walk does not have.
        const spread = subtract(quote?.ask, quote?.bid);
        return this.walks ? spread : percent(spread, quote?.ask, 6);
      }
      case 'volume':
        return this.#turnover;
      case 'move':
        return this.#share?.replace('-', '') ?? null;
      case 'age':
        // A newer time is a smaller age.
        return quote?.received ? -quote.received : null;
      default:
        return /** @type {any} */ (quote)?.[column] ?? null;
    }
  }
}

/**
 * @param {HTMLElement} cell
 * @param {string | null} change signed or not
 * @param {string} unit
 */
function paintChange(cell, change, unit) {
  const way = direction(change);
  mark(cell, 'way', change === null ? null : way);
  write(cell, change === null ? NOTHING : `${ARROWS[way]} ${signed(change)}${unit}`.trim());
}
