/**
 * The order ticket: validates an order, places it, and shows the outcome.
 *
 * @module
 */

import { compare, multiply, percent, subtract } from '../text/decimal.js';
import { OrderError, PLACE } from './orderlink.js';
import { asSentence } from '../text/format.js';
import { words } from './orderrow.js';
import { Digits, shown } from '../text/numbers.js';
import { mark, node, write, writeNumber } from '../page/paint.js';
import { startPicker } from '../page/picker.js';
import { fold } from '../text/search.js';
import { canonical, trimmed } from './numberinput.js';
import { makeId } from './uuid.js';

/**
 * @typedef {import('./positions.js').Instrument} Instrument
 * @typedef {import('../live/live.js').Quote} Quote
 * @typedef {{instrument: string, side: number, amount: string, type: string, time_in_force: string, price?: string}} OrderRequest
 *
 * @typedef {object} TicketActions what the ticket needs from the page
 * @property {(type: number, message: object) => Promise<any>} request
 * @property {(symbol: string) => {quote: Quote | undefined, reason: string}} look reason: why it cannot trade now
 * @property {(id: string) => Promise<boolean>} placed whether an order with this client_order_id exists after all
 * @property {() => void} chosen the instrument has changed
 */

const NUMBER = /^(\d{1,20}\.?\d{0,18}|\.\d{1,18})$/;
/** Warn of a typed price that is further than this from the market. */
const FAR_PERCENT = '0.5';
/** Error codes after which it is unknown whether the order was placed. */
const UNKNOWN = new Set(['unanswered', 'engine_unreachable']);

export class Ticket {
  #form = /** @type {HTMLFormElement} */ (node('ticket'));
  #instrument = field('instrument');
  #amount = field('amount');
  #price = field('price');
  #term = /** @type {HTMLSelectElement} */ (node('time_in_force'));
  #instruments;
  #actions;
  /** @type {Instrument | undefined} */
  #chosen;
  /** the price typed by the user, which is left alone; empty: the price follows the book */
  #typed = '';
  #busy = false;
  #digits = new Digits({});
  /** the last request, with the id that prevents placing it twice if its outcome is unknown */
  #last = { request: '', id: '' };

  /**
   * @param {Map<string, Instrument>} instruments by folded symbol
   * @param {TicketActions} actions
   */
  constructor(instruments, actions) {
    this.#instruments = instruments;
    this.#actions = actions;
    startPicker(this.#instrument, node('choices'), (option) => this.choose(option.dataset.symbol ?? ''));
    this.#instrument.addEventListener('focus', () => this.#instrument.select());
    this.#instrument.addEventListener('blur', () => this.#chooseTyped());
    this.#price.addEventListener('input', () => (this.#typed = this.#price.value));
    node('follow').addEventListener('click', () => {
      this.#typed = '';
      this.paint();
      this.#price.focus();
    });
    this.#form.addEventListener('input', () => {
      this.#adjustTerm();
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

  /** Change the instrument; this discards a typed price. @param {string} symbol */
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
    this.#setFault('instrument', '');
    if (other) this.#actions.chosen();
    this.paint();
  }

  focus() {
    this.#instrument.focus();
  }

  /** Show the newest quote, and use its price unless the user has typed one. */
  paint() {
    const { quote, reason } = this.#chosen ? this.#actions.look(this.#chosen.symbol) : { quote: undefined, reason: '' };
    const { side, type } = this.#request;
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

  /** @returns {OrderRequest} the content of the form */
  get #request() {
    const given = new FormData(this.#form);
    const type = String(given.get('type'));
    const price = type === 'market' ? {} : { price: canonical(this.#price.value) ?? this.#price.value };
    return {
      instrument: this.symbol,
      side: Number(given.get('side')),
      amount: canonical(this.#amount.value) ?? this.#amount.value,
      type,
      time_in_force: this.#term.value,
      ...price,
    };
  }

  /** Describe the order's value and what would happen to it. @param {Quote | undefined} quote */
  #outlook(quote) {
    const { side, amount, price, type, time_in_force: term } = this.#request;
    const [other, size, name] = side === 1 ? [quote?.ask, quote?.ask_size, 'ask'] : [quote?.bid, quote?.bid_size, 'bid'];
    if (!other || compare(other, '0') !== 1) return `There is no ${name} above zero to trade against.`;
    const way = type === 'market' ? 0 : compare(price, other);
    if (way === null || (amount && !good(amount)) || (price !== undefined && !good(price))) return '';
    const worth = trimmed(multiply(amount, price ?? other));
    const value = worth ? `${type === 'market' ? 'About' : 'Value'} ${shown(worth)} ${this.#chosen?.unit ?? ''}. ` : '';
    const far = this.#typed && price ? distance(price, other, name) : '';
    const meets = side === 1 ? way >= 0 : way <= 0;
    const less = compare(amount, size) === 1 ? `: ${shown(size ?? '')} available at the best price` : '';
    if (meets) return `${value}${far}Trades immediately against the ${name}${less}.`;
    if (term !== 'gtc') return `${value}${far}Would be cancelled immediately: the ${name} is ${shown(other)}.`;
    return `${value}${far}Waits until the ${name} ${side === 1 ? 'falls' : 'rises'} to ${shown(price ?? '')}.`;
  }

  /** A market order cannot rest in the book. */
  #adjustTerm() {
    const market = this.#request.type === 'market';
    const wait = /** @type {HTMLOptionElement} */ (this.#term.options[0]);
    if (market === wait.disabled) return;
    wait.disabled = market;
    if (market && wait.selected) this.#term.value = 'ioc';
    else if (!market && this.#term.value === 'ioc') wait.selected = true;
  }

  /** @param {'bid' | 'ask'} side take the price of this side of the book */
  #take(side) {
    const price = this.#chosen && this.#actions.look(this.#chosen.symbol).quote?.[side];
    if (compare(price, '0') !== 1) return;
    this.#typed = trimmed(price ?? null) ?? '';
    this.paint();
  }

  /** Choose the instrument that was typed in full. */
  #chooseTyped() {
    if (this.#instrument.value !== this.#instrument.dataset.chosen) this.choose(this.#instrument.value || this.symbol);
  }

  /** Show the errors at their fields and focus the first. @param {OrderRequest} request @returns {boolean} whether it is valid */
  #check(request) {
    const number = (/** @type {string} */ text, /** @type {string} */ name) => {
      if (!text) return `${name} is missing.`;
      if (canonical(text) === null) return `${text} could mean two numbers: write ${text.replace(',', '')} or ${text.replace(',', '.')}.`;
      if (!NUMBER.test(text)) return `${name} must be a number like 12.5, with at most 18 digits after the point.`;
      return good(text) ? '' : `${name} must be above 0.`;
    };
    const faults = {
      instrument: request.instrument ? '' : 'Choose an instrument from the list.',
      amount: number(request.amount, 'The amount'),
      price: request.price === undefined ? '' : number(request.price, 'The price'),
    };
    for (const [name, fault] of Object.entries(faults)) this.#setFault(name, fault);
    const first = Object.entries(faults).find(([, fault]) => fault);
    if (first) field(first[0]).focus();
    return !first;
  }

  async #place() {
    this.#chooseTyped();
    const request = this.#request;
    this.#say('', '');
    if (this.#busy || !this.#check(request)) return;
    const text = JSON.stringify(request);
    if (this.#last.request !== text) this.#last = { request: text, id: makeId() };
    const { id } = this.#last;
    const what = words({ ...request, price: request.price ?? null }, this.#chosen?.name ?? '');
    this.#setBusy(true);
    try {
      await this.#actions.request(PLACE, { ...request, client_order_id: id });
      this.#done(what);
    } catch (error) {
      if (!(error instanceof OrderError)) throw error;
      if (!UNKNOWN.has(error.code)) this.#refused(error);
      else {
        this.#say(`No answer: ${asSentence(error.message)} Checking whether it was placed …`, 'busy');
        if (await this.#actions.placed(id)) this.#done(what);
        else this.#say('It was not placed. You can place it again.', 'refused');
      }
    } finally {
      this.#setBusy(false);
    }
  }

  /** @param {string} what was placed */
  #done(what) {
    this.#last = { request: '', id: '' };
    // so that pressing Enter twice does not place two orders
    this.#amount.value = '';
    this.#say(`Placed: ${what}.`, 'done');
    if (this.#form.contains(document.activeElement)) this.#amount.focus();
  }

  /** @param {OrderError} error */
  #refused({ code, message }) {
    this.#last = { request: '', id: '' };
    const text = asSentence(message);
    // The server's messages begin with the name of the wrong field.
    const at = code === 'no_market' ? 'instrument' : /^(instrument|amount|price)\b/.exec(message)?.[1];
    if (!at) return this.#say(text, 'refused');
    this.#setFault(at, text);
    field(at).focus();
  }

  /** @param {string} name of a field @param {string} fault empty: none */
  #setFault(name, fault) {
    write(node(`${name}-fault`), fault);
    field(name).setAttribute('aria-invalid', String(fault !== ''));
  }

  /** @param {boolean} busy */
  #setBusy(busy) {
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
 * Warn of a typed price that is far from the market.
 *
 * @param {string} price
 * @param {string} other the best price on the other side of the book
 * @param {string} name of that side
 */
function distance(price, other, name) {
  const share = percent(subtract(price, other), other, 1) ?? '0';
  const far = compare(share.replace('-', ''), FAR_PERCENT) === 1;
  return far ? `Your price is ${share.replace('-', '')} % ${share.startsWith('-') ? 'below' : 'above'} the ${name}. ` : '';
}

/** @param {string} text @returns {boolean} whether it is a valid price or amount */
function good(text) {
  return NUMBER.test(text) && compare(text, '0') === 1;
}

/** @param {string} id */
function field(id) {
  return /** @type {HTMLInputElement} */ (node(id));
}
