/**
 * The connection to the order gateway, `/ws` in its extended mode: comes back by itself, matches answers to what
 * was asked, gives each report once.
 *
 * @module
 */


/**
 * @typedef {object} Report an ExecutionReport
 * @property {string} order_id
 * @property {number} order_status
 * @property {string | null} client_order_id
 * @property {string} exec_id
 * @property {'new' | 'trade' | 'canceled' | 'rejected'} exec_type
 * @property {string} instrument
 * @property {number} side 1: buy, 2: sell
 * @property {string} type
 * @property {string} time_in_force
 * @property {string} amount
 * @property {string | null} price
 * @property {string | null} last_amount
 * @property {string | null} last_price
 * @property {string} cum_amount
 * @property {string} leaves_amount
 * @property {string | null} avg_price
 * @property {string | null} source
 * @property {string | null} reason
 * @property {number} time
 * @property {number} seq
 * @property {string | number | null} request_id
 *
 * @typedef {'connecting' | 'live' | 'reconnecting' | 'refused' | 'offline'} State
 *
 * @typedef {object} Hearer
 * @property {(state: State, reason: string) => void} state
 * @property {(report: Report) => void} report one that was not given before
 * @property {(code: string, reason: string) => void} [refused] an ErrorInfo that answers nothing
 */

export const PLACE = 3;
export const CANCEL = 4;
export const ORDERS = 5;
export const TRADES = 6;
const IDENTIFY = 7;
const ERROR = 2;
const REPORT = 3;

/** The gateway answers within 10 s, at least that it does not know: what takes longer means a dead connection. */
const DEADLINE_MS = 12_000;
/** So does opening one that takes so long. */
const OPENING_MS = 5_000;
/** After so long without a word it is tried whether the server still hears. */
const QUIET_MS = 15_000;
const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 3_000;
/** A server that turned this page away is not asked again sooner. */
const REFUSED_MS = 15_000;
/** Reports come again after a crash only, soon: what was given longer ago is not kept in mind. */
const MOST_SEEN = 5_000;

/** What was asked was not done, or it is not known whether it was. */
export class OrderError extends Error {
  /**
   * @param {string} code
   * @param {string} reason
   */
  constructor(code, reason) {
    super(reason);
    this.code = code;
  }
}

export class OrderLink {
  /** @type {State} */
  state = 'connecting';
  #account;
  #hearer;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {Map<string, {resolve: (message: any) => void, reject: (error: OrderError) => void, since: number}>} */
  #asked = new Map();
  #count = 0;
  #began = 0;
  #heard = 0;
  #due = 0;
  #retry = FIRST_RETRY_MS;
  #wasOpen = false;
  #refusal = '';
  /** @type {Set<string>} exec_ids, oldest first */
  #seen = new Set();

  /**
   * Connect for as long as the page lives.
   *
   * @param {string} account the client id
   * @param {Hearer} hearer
   */
  constructor(account, hearer) {
    this.#account = account;
    this.#hearer = hearer;
    setInterval(() => this.#check(), 500);
    addEventListener('offline', () => this.#check());
    // A machine that slept, or a network that is back: do not wait until something is overdue.
    addEventListener('online', () => this.#wake());
    addEventListener('visibilitychange', () => document.hidden || this.#wake());
    this.#open();
  }

  /** Trade for another account from now on. @param {string} account */
  become(account) {
    this.#account = account;
    this.#seen.clear();
    this.#retry = FIRST_RETRY_MS;
    this.#lose('');
    this.#open();
  }

  /**
   * Ask; the answer's message, or OrderError: `unsent` where nothing was sent, `unanswered` where it is not known
   * whether it was done, else the server's code.
   *
   * @param {number} type
   * @param {object} message
   * @returns {Promise<any>}
   */
  ask(type, message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new OrderError('unsent', 'Not connected: nothing was sent.'));
    }
    const id = String(++this.#count);
    this.#socket.send(JSON.stringify({ messageType: type, message: { ...message, request_id: id } }));
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject, since: Date.now() }));
  }

  #open() {
    clearTimeout(this.#due);
    this.#due = 0;
    this.#began = Date.now();
    const url = new URL('./ws?mode=extended', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = (this.#socket = new WebSocket(url));
    // What an older socket still says is not heard.
    const mine = (/** @type {(event: any) => void} */ act) => (/** @type {any} */ event) => socket === this.#socket && act(event);
    let opened = false;
    socket.onopen = mine(() => {
      opened = true;
      // Who it is, as the first message: an address stands in the logs of proxies.
      socket.send(JSON.stringify({ messageType: IDENTIFY, message: { client_id: this.#account } }));
      this.#heard = Date.now();
      this.#retry = FIRST_RETRY_MS;
      this.#wasOpen = true;
      this.#refusal = '';
      this.#check();
    });
    socket.onmessage = mine(({ data }) => this.#take(JSON.parse(data)));
    socket.onclose = mine(({ code, reason }) => {
      const refused = !opened;
      this.#lose(code === 1008 ? reason || 'The server closed the connection.' : '');
      if (refused) this.#ask();
    });
  }

  /** @param {{messageType: number, message: any}} told */
  #take({ messageType, message }) {
    this.#heard = Date.now();
    if (messageType === REPORT && !this.#seen.has(message.exec_id)) {
      this.#seen.add(message.exec_id);
      if (this.#seen.size > MOST_SEEN) this.#seen.delete(/** @type {string} */ (this.#seen.values().next().value));
      this.#hearer.report(message);
    }
    const asked = this.#asked.get(message.request_id);
    this.#asked.delete(message.request_id);
    if (messageType !== ERROR) asked?.resolve(message);
    else if (asked) asked.reject(new OrderError(message.code, message.reason));
    else this.#hearer.refused?.(message.code, message.reason);
  }

  /** Give the socket up; a new one is opened after a while. @param {string} refusal */
  #lose(refusal) {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#refusal = refusal;
    socket?.close();
    const lost = new OrderError('unanswered', refusal || 'The connection was lost before the answer came.');
    for (const { reject } of this.#asked.values()) reject(lost);
    this.#asked.clear();
    clearTimeout(this.#due);
    const jitter = 0.75 + Math.random() / 2;
    this.#due = setTimeout(() => this.#open(), refusal ? REFUSED_MS : this.#retry * jitter);
    this.#retry = Math.min(2 * this.#retry, LAST_RETRY_MS);
    this.#check();
  }

  /** Find out why no connection came about. */
  async #ask() {
    const why = await import('./refused.js').then((found) => found.whyRefused(), () => '');
    if (!why || this.#socket?.readyState === WebSocket.OPEN) return;
    this.#refusal = why;
    this.#check();
  }

  #wake() {
    if (!this.#socket && !this.#refusal) this.#open();
    else if (this.#socket?.readyState === WebSocket.OPEN) this.#probe();
  }

  #probe() {
    this.#heard = Date.now();
    // any answer will do; none at all is noticed by its deadline
    this.ask(TRADES, {}).catch(() => undefined);
  }

  #check() {
    const now = Date.now();
    const open = this.#socket?.readyState === WebSocket.OPEN;
    const oldest = this.#asked.values().next().value?.since ?? now;
    const late = open ? now - oldest > DEADLINE_MS : this.#socket && now - this.#began > OPENING_MS;
    if (late) return this.#lose('');
    if (open && !document.hidden && Math.abs(now - this.#heard) > QUIET_MS) this.#probe();
    const state = this.#judge(open);
    if (state === this.state) return;
    this.state = state;
    this.#hearer.state(state, this.#refusal);
  }

  /** @param {boolean} open @returns {State} */
  #judge(open) {
    if (open) return 'live';
    if (this.#refusal) return 'refused';
    if (!navigator.onLine) return 'offline';
    return this.#wasOpen ? 'reconnecting' : 'connecting';
  }
}
