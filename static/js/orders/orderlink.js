/**
 * The connection to the order gateway, `/ws` in extended mode: reconnects by itself, matches answers to requests,
 * delivers each report once.
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
 * @typedef {object} Listener
 * @property {(state: State, reason: string) => void} state
 * @property {(report: Report) => void} report a new one
 * @property {(code: string, reason: string) => void} [refused] an ErrorInfo that answers no request
 */

export const PLACE = 3;
export const CANCEL = 4;
export const ORDERS = 5;
export const TRADES = 6;
const IDENTIFY = 7;
const ERROR = 2;
const REPORT = 3;

/** The gateway answers within 10 s, even if only with an error; no answer in this time means a dead connection. */
const DEADLINE_MS = 12_000;
/** So does a connection that takes this long to open. */
const OPENING_MS = 5_000;
/** After this long without a message, a request checks whether the connection is alive. */
const QUIET_MS = 15_000;
const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 3_000;
/** After a refusal the next attempt waits this long. */
const REFUSED_MS = 15_000;
/** Reports are only repeated soon after a crash, so older ids are forgotten. */
const MOST_SEEN = 5_000;

/** A request was not done, or its outcome is unknown. */
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
  #listener;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {Map<string, {resolve: (message: any) => void, reject: (error: OrderError) => void, since: number}>} */
  #pending = new Map();
  #count = 0;
  #began = 0;
  #heardAt = 0;
  #due = 0;
  #retry = FIRST_RETRY_MS;
  #wasOpen = false;
  #refusal = '';
  /** @type {Set<string>} exec_ids, oldest first */
  #seen = new Set();

  /**
   * Connect until the page is closed.
   *
   * @param {string} account the client id
   * @param {Listener} listener
   */
  constructor(account, listener) {
    this.#account = account;
    this.#listener = listener;
    setInterval(() => this.#check(), 500);
    addEventListener('offline', () => this.#check());
    // After sleep or a network outage, do not wait for a deadline.
    addEventListener('online', () => this.#wake());
    addEventListener('visibilitychange', () => document.hidden || this.#wake());
    this.#open();
  }

  /** Switch to another account. @param {string} account */
  switchAccount(account) {
    this.#account = account;
    this.#seen.clear();
    this.#retry = FIRST_RETRY_MS;
    this.#lose('');
    this.#open();
  }

  /**
   * Send a request; resolves to the answer's message, or rejects with OrderError: `unsent` if nothing was sent,
   * `unanswered` if the outcome is unknown, else the server's code.
   *
   * @param {number} type
   * @param {object} message
   * @returns {Promise<any>}
   */
  request(type, message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new OrderError('unsent', 'Not connected: nothing was sent.'));
    }
    const id = String(++this.#count);
    this.#socket.send(JSON.stringify({ messageType: type, message: { ...message, request_id: id } }));
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, since: Date.now() }));
  }

  #open() {
    clearTimeout(this.#due);
    this.#due = 0;
    this.#began = Date.now();
    const url = new URL('./ws?mode=extended', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = (this.#socket = new WebSocket(url));
    // Ignore the events of an older socket.
    const mine = (/** @type {(event: any) => void} */ act) => (/** @type {any} */ event) => socket === this.#socket && act(event);
    let opened = false;
    socket.onopen = mine(() => {
      opened = true;
      // The id is sent as the first message, because proxies log URLs.
      socket.send(JSON.stringify({ messageType: IDENTIFY, message: { client_id: this.#account } }));
      this.#heardAt = Date.now();
      this.#retry = FIRST_RETRY_MS;
      this.#wasOpen = true;
      this.#refusal = '';
      this.#check();
    });
    socket.onmessage = mine(({ data }) => this.#receive(JSON.parse(data)));
    socket.onclose = mine(({ code, reason }) => {
      const refused = !opened;
      this.#lose(code === 1008 ? reason || 'The server closed the connection.' : '');
      if (refused) this.#findReason();
    });
  }

  /** @param {{messageType: number, message: any}} received */
  #receive({ messageType, message }) {
    this.#heardAt = Date.now();
    if (messageType === REPORT && !this.#seen.has(message.exec_id)) {
      this.#seen.add(message.exec_id);
      if (this.#seen.size > MOST_SEEN) this.#seen.delete(/** @type {string} */ (this.#seen.values().next().value));
      this.#listener.report(message);
    }
    const pending = this.#pending.get(message.request_id);
    this.#pending.delete(message.request_id);
    if (messageType !== ERROR) pending?.resolve(message);
    else if (pending) pending.reject(new OrderError(message.code, message.reason));
    else this.#listener.refused?.(message.code, message.reason);
  }

  /** Close the socket and schedule a new one. @param {string} refusal why the server closed it, or empty */
  #lose(refusal) {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#refusal = refusal;
    socket?.close();
    const lost = new OrderError('unanswered', refusal || 'The connection was lost before the answer arrived.');
    for (const { reject } of this.#pending.values()) reject(lost);
    this.#pending.clear();
    clearTimeout(this.#due);
    const jitter = 0.75 + Math.random() / 2;
    this.#due = setTimeout(() => this.#open(), refusal ? REFUSED_MS : this.#retry * jitter);
    this.#retry = Math.min(2 * this.#retry, LAST_RETRY_MS);
    this.#check();
  }

  /** Find out why connecting failed. */
  async #findReason() {
    const why = await import('../live/refused.js').then((found) => found.whyRefused(), () => '');
    if (!why || this.#socket?.readyState === WebSocket.OPEN) return;
    this.#refusal = why;
    this.#check();
  }

  #wake() {
    if (!this.#socket && !this.#refusal) this.#open();
    else if (this.#socket?.readyState === WebSocket.OPEN) this.#probe();
  }

  #probe() {
    this.#heardAt = Date.now();
    // any answer will do; the deadline notices if there is none
    this.request(TRADES, {}).catch(() => undefined);
  }

  #check() {
    const now = Date.now();
    const open = this.#socket?.readyState === WebSocket.OPEN;
    const oldest = this.#pending.values().next().value?.since ?? now;
    const late = open ? now - oldest > DEADLINE_MS : this.#socket && now - this.#began > OPENING_MS;
    if (late) return this.#lose('');
    if (open && !document.hidden && Math.abs(now - this.#heardAt) > QUIET_MS) this.#probe();
    const state = this.#judge(open);
    if (state === this.state) return;
    this.state = state;
    this.#listener.state(state, this.#refusal);
  }

  /** @param {boolean} open @returns {State} */
  #judge(open) {
    if (open) return 'live';
    if (this.#refusal) return 'refused';
    if (!navigator.onLine) return 'offline';
    return this.#wasOpen ? 'reconnecting' : 'connecting';
  }
}
