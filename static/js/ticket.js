/**
 * The ticket: what a person wants to trade, checked, and what came of it.
 *
 * @module
 */

import { compare, multiply, percent, subtract } from './decimal.js';
import { OrderError, PLACE } from './orderlink.js';
import { words } from './orderrow.js';
import { Digits, shown } from './numbers.js';
import { mark, node, write, writeNumber } from './paint.js';
import { startPicker } from './picker.js';
import { fold } from './search.js';
import { plain, trimmed } from './typed.js';
import { makeId } from './uuid.js';

/**
 * @typedef {import('./positions.js').Instrument} Instrument
 * @typedef {import('./live.js').Quote} Quote
 * @typedef {{instrument: string, side: number, amount: string, type: string, time_in_force: string, price?: string}} Wish
 *
 * @typedef {object} Desk what the ticket needs of the page
 * @property {(type: number, message: object) => Promise<any>} ask
 * @property {(symbol: string) => {quote: Quote | undefined, reason: string}} look reason: why nothing trades now
 * @property {(id: string) => Promise<boolean>} placed whether an order of this client_order_id is there after all
 * @property {() => void} chosen another instrument
 */

const NUMBER = /^(\d{1,20}\.?\d{0,18}|\.\d{1,18})$/;
/** A typed price further than this from the market is pointed out. */
const FAR_PERCENT = '0.5';
/** After these it is not known whether the order was placed. */
const UNKNOWN = new Set(['unanswered', 'engine_unreachable']);

export class Ticket {
  #form = /** @type {HTMLFormElement} */ (node('ticket'));
  #instrument = field('instrument');
  #amount = field('amount');
  #price = field('price');
  #term = /** @type {HTMLSelectElement} */ (node('time_in_force'));
  #instruments;
  #desk;
  /** @type {Instrument | undefined} */
  #chosen;
  /** the price a person typed, which is not to be touched; empty: it follows the book */
  #typed = '';
  #busy = false;
  #digits = new Digits({});
  /** the last wish whose fate was not known, with the id that keeps it from being placed twice */
  #last = { wish: '', id: '' };

  /**
   * @param {Map<string, Instrument>} instruments by folded symbol
   * @param {Desk} desk
   */
  constructor(instruments, desk) {
    this.#instruments = instruments;
    this.#desk = desk;
    startPicker(this.#instrument, node('choices'), (option) => this.choose(option.dataset.symbol ?? ''));
    this.#instrument.addEventListener('focus', () => this.#instrument.select());
    this.#instrument.addEventListener('blur', () => this.#spell());
    this.#price.addEventListener('input', () => (this.#typed = this.#price.value));
    node('follow').addEventListener('click', () => {
      this.#typed = '';
      this.paint();
      this.#price.focus();
    });
    this.#form.addEventListener('input', () => {
      this.#fitTerm();
      this.paint();
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#place();
    });
    for (const side of /** @type {const} */ (['bid', 'ask'])) {
      node(`take-${side}`).addEventListener('click', () => this.#take(side));
    }
  }

  /** @returns {string} empty: none is chosen */
  get symbol() {
    return this.#chosen?.symbol ?? '';
  }

  /** Trade another instrument; a price that was typed was meant for the one before. @param {string} symbol */
  choose(symbol) {
    const found = this.#instruments.get(fold(symbol));
    const other = found !== this.#chosen;
    if (other && found) this.#typed = '';
    this.#chosen = found;
    if (other) this.#digits = new Digits(found?.steps ?? {});
    this.#instrument.value = this.#instrument.dataset.chosen = found?.name ?? symbol;
    for (const option of node('choices').children) {
      if (option.getAttribute('data-symbol') === found?.symbol) option.setAttribute('aria-current', 'true');
      else option.removeAttribute('aria-current');
    }
    this.#wrong('instrument', '');
    if (other) this.#desk.chosen();
    this.paint();
  }

  focus() {
    this.#instrument.focus();
  }

  /** Show the newest quote, and put its price into the ticket where a person has typed none. */
  paint() {
    const { quote, reason } = this.#chosen ? this.#desk.look(this.#chosen.symbol) : { quote: undefined, reason: '' };
    const { side, type } = this.#wish;
    for (const name of /** @type {const} */ (['bid', 'ask'])) {
      writeNumber(node(name), quote?.[name], this.#digits.prices(quote?.bid, quote?.ask));
      writeNumber(node(`${name}_size`), quote?.[`${name}_size`], this.#digits.sizes(quote?.bid_size, quote?.ask_size));
    }
    write(node('source'), quote?.source ?? '—');
    node('synthetic').hidden = !this.#chosen?.synthetic;
    node('replay').hidden = !quote?.source?.startsWith('replay:');
    write(node('stale-why'), reason);
    node('stale').hidden = !reason;
    mark(this.#form, 'stale', reason ? '' : null);
    mark(this.#form, 'side', side === 1 ? 'buy' : 'sell');
    mark(this.#form, 'type', type);
    const book = side === 1 ? quote?.ask : quote?.bid;
    const fresh = reason || compare(book, '0') !== 1 ? '' : (trimmed(book ?? null) ?? '');
    const market = (this.#price.disabled = type === 'market');
    this.#price.placeholder = market ? 'market price' : 'no live price';
    if (market) this.#price.value = '';
    else if (document.activeElement !== this.#price) this.#price.value = this.#typed || fresh;
    node('follow').hidden = market || !this.#typed;
    write(node('unit'), this.#chosen?.unit ?? '');
    write(node('base'), this.#chosen?.base ?? '');
    write(node('place'), this.#busy ? 'Placing …' : side === 1 ? 'Place buy order' : 'Place sell order');
    write(node('outlook'), reason ? '' : this.#outlook(quote));
  }

  /** @returns {Wish} as the form is now */
  get #wish() {
    const given = new FormData(this.#form);
    const type = String(given.get('type'));
    const price = type === 'market' ? {} : { price: plain(this.#price.value) ?? this.#price.value };
    return {
      instrument: this.symbol,
      side: Number(given.get('side')),
      amount: plain(this.#amount.value) ?? this.#amount.value,
      type,
      time_in_force: this.#term.value,
      ...price,
    };
  }

  /** Say what it costs, and what would happen. @param {Quote | undefined} quote */
  #outlook(quote) {
    const { side, amount, price, type, time_in_force: term } = this.#wish;
    const [other, size, name] = side === 1 ? [quote?.ask, quote?.ask_size, 'ask'] : [quote?.bid, quote?.bid_size, 'bid'];
    if (!other || compare(other, '0') !== 1) return `There is no ${name} above zero to trade against.`;
    const way = type === 'market' ? 0 : compare(price, other);
    if (way === null || (amount && !good(amount)) || (price !== undefined && !good(price))) return '';
    const worth = trimmed(multiply(amount, price ?? other));
    const value = worth ? `${type === 'market' ? 'About' : 'Value'} ${shown(worth)} ${this.#chosen?.unit ?? ''}. ` : '';
    const far = this.#typed && price ? distance(price, other, name) : '';
    const meets = side === 1 ? way >= 0 : way <= 0;
    const less = compare(amount, size) === 1 ? `: ${shown(size ?? '')} available now` : '';
    if (meets) return `${value}${far}Trades at once against the ${name}${less}.`;
    if (term !== 'gtc') return `${value}${far}Would be cancelled at once: the ${name} is ${shown(other)}.`;
    return `${value}${far}Waits until the ${name} ${side === 1 ? 'falls' : 'rises'} to ${shown(price ?? '')}.`;
  }

  /** A market order waits for nothing. */
  #fitTerm() {
    const market = this.#wish.type === 'market';
    const wait = /** @type {HTMLOptionElement} */ (this.#term.options[0]);
    if (market === wait.disabled) return;
    wait.disabled = market;
    if (market && wait.selected) this.#term.value = 'ioc';
    else if (!market && this.#term.value === 'ioc') wait.selected = true;
  }

  /** @param {'bid' | 'ask'} side take the price of this side of the book */
  #take(side) {
    const price = this.#chosen && this.#desk.look(this.#chosen.symbol).quote?.[side];
    if (compare(price, '0') !== 1) return;
    this.#typed = trimmed(price ?? null) ?? '';
    this.paint();
  }

  /** What was typed in full needs not be picked from the list. */
  #spell() {
    if (this.#instrument.value !== this.#instrument.dataset.chosen) this.choose(this.#instrument.value || this.symbol);
  }

  /** Say at each field what is wrong with it; go to the first. @param {Wish} wish @returns {boolean} whether all is well */
  #check(wish) {
    const number = (/** @type {string} */ text, /** @type {string} */ name) => {
      if (!text) return `${name} is missing.`;
      if (plain(text) === null) return `${text} could mean two numbers: write ${text.replace(',', '')} or ${text.replace(',', '.')}.`;
      if (!NUMBER.test(text)) return `${name} must be a number like 12.5, with at most 18 digits after the point.`;
      return good(text) ? '' : `${name} must be above 0.`;
    };
    const faults = {
      instrument: wish.instrument ? '' : 'Choose an instrument from the list.',
      amount: number(wish.amount, 'The amount'),
      price: wish.price === undefined ? '' : number(wish.price, 'The price'),
    };
    for (const [name, fault] of Object.entries(faults)) this.#wrong(name, fault);
    const first = Object.entries(faults).find(([, fault]) => fault);
    if (first) field(first[0]).focus();
    return !first;
  }

  async #place() {
    this.#spell();
    const wish = this.#wish;
    this.#say('', '');
    if (this.#busy || !this.#check(wish)) return;
    const text = JSON.stringify(wish);
    if (this.#last.wish !== text) this.#last = { wish: text, id: makeId() };
    const { id } = this.#last;
    const what = words({ ...wish, price: wish.price ?? null }, this.#chosen?.name ?? '');
    this.#work(true);
    try {
      await this.#desk.ask(PLACE, { ...wish, client_order_id: id });
      this.#done(what);
    } catch (error) {
      if (!(error instanceof OrderError)) throw error;
      if (!UNKNOWN.has(error.code)) this.#refused(error);
      else {
        this.#say(`No answer: ${sentence(error.message)} Checking whether it was placed …`, 'busy');
        if (await this.#desk.placed(id)) this.#done(what);
        else this.#say('It was not placed. You can place it again.', 'refused');
      }
    } finally {
      this.#work(false);
    }
  }

  /** @param {string} what was placed */
  #done(what) {
    this.#last = { wish: '', id: '' };
    // so that a second Enter does not place a second order
    this.#amount.value = '';
    this.#say(`Placed: ${what}.`, 'done');
    if (this.#form.contains(document.activeElement)) this.#amount.focus();
  }

  /** @param {OrderError} error */
  #refused({ code, message }) {
    this.#last = { wish: '', id: '' };
    const text = sentence(message);
    // The server's sentences begin with the field that is wrong.
    const at = code === 'no_market' ? 'instrument' : /^(instrument|amount|price)\b/.exec(message)?.[1];
    if (!at) return this.#say(text, 'refused');
    this.#wrong(at, text);
    field(at).focus();
  }

  /** @param {string} name of a field @param {string} fault empty: none */
  #wrong(name, fault) {
    write(node(`${name}-fault`), fault);
    field(name).setAttribute('aria-invalid', String(fault !== ''));
  }

  /** @param {boolean} busy */
  #work(busy) {
    this.#busy = busy;
    this.#form.setAttribute('aria-busy', String(busy));
    node('place').setAttribute('aria-disabled', String(busy));
    this.paint();
  }

  /** @param {string} text @param {string} kind */
  #say(text, kind) {
    write(node('answer'), text);
    mark(node('answer'), 'kind', kind || null);
  }
}

/**
 * Warn of a price that was typed and is by now, or by mistake, far from the market.
 *
 * @param {string} price
 * @param {string} other the price of the other side of the book
 * @param {string} name of that side
 */
function distance(price, other, name) {
  const share = percent(subtract(price, other), other, 1) ?? '0';
  const far = compare(share.replace('-', ''), FAR_PERCENT) === 1;
  return far ? `Your price is ${share.replace('-', '')} % ${share.startsWith('-') ? 'below' : 'above'} the ${name}. ` : '';
}

/** @param {string} text @returns {boolean} whether it is a number an order can have */
function good(text) {
  return NUMBER.test(text) && compare(text, '0') === 1;
}

/** @param {string} text */
function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`.replace(/([^.!?])$/, '$1.');
}

/** @param {string} id */
function field(id) {
  return /** @type {HTMLInputElement} */ (node(id));
}
