/**
 * The live connection of a page: one Socket.IO client, the newest quotes, and the health of the connection.
 *
 * @module
 */

import { io } from '../../vendor/socket.io.esm.min.js';
import { ServerClock } from './clock.js';

/**
 * @typedef {object} Quote
 * @property {string} symbol
 * @property {string | null} base
 * @property {string | null} source
 * @property {string | null} price
 * @property {string | null} bid
 * @property {string | null} bid_size
 * @property {string | null} ask
 * @property {string | null} ask_size
 * @property {string | null} open_24h
 * @property {string | null} high_24h
 * @property {string | null} low_24h
 * @property {string | null} volume_24h
 * @property {string | null} change_24h
 * @property {string | null} change_abs_24h
 * @property {number | null} time
 * @property {number | null} received
 * @property {number} published
 * @property {number} seq
 * @property {boolean} stale
 * @property {boolean} synthetic
 *
 * @typedef {{source: string, state: string, serving: boolean, stale: boolean, price: string | null,
 *   bid: string | null, bid_size: string | null, ask: string | null, ask_size: string | null,
 *   age_ms: number | null, reason: string | null}} VenueRow
 * @typedef {{symbol: string, serving: string | null, stale: boolean, reason: string | null,
 *   best_bid_source: string | null, best_ask_source: string | null, sources: VenueRow[]}} Venues
 * @typedef {{source: string, reason: string}} LeftOut
 * @typedef {{price: string, size: string | null, sources: {source: string, size: string | null, age_ms: number | null}[]}} BestSide
 * @typedef {{symbol: string, stale: boolean, reason: string | null, bid: BestSide | null, ask: BestSide | null,
 *   spread_bps: string | null, crossed: boolean, sources: string[], left_out: LeftOut[]}} Best
 * @typedef {{price: string, size: string, sources: {[source: string]: string}}} MergedLevel
 * @typedef {{source: string, time: number | null, age_ms: number, levels: number, bids: [string, string][],
 *   asks: [string, string][]}} VenueDepth
 * @typedef {{symbol: string, stale: boolean, reason: string | null, bids: MergedLevel[], asks: MergedLevel[], crossed: boolean,
 *   venues: VenueDepth[], left_out: LeftOut[]}} Depth
 * @typedef {{source: string, price: string, by: 'mid' | 'trade', weight: string, age_ms: number | null}} Constituent
 * @typedef {{symbol: string, price: string | null, time: number | null, stale: boolean, reason: string | null,
 *   constituents: Constituent[], left_out: LeftOut[]}} Index
 * @typedef {{time: number, open: string, high: string, low: string, close: string, volume: string | null,
 *   trades: number | null, source: string, closed: boolean}} Bar
 * @typedef {{from: number, to: number | null, reason: string}} Gap
 * @typedef {{symbol: string, interval: string, epoch: string, seq: number, previous: number | null,
 *   bars: Bar[], gap: Gap | null}} Candles
 * @typedef {{symbols: string[], from: string | null, to: string | null, reason: string, time: number}} Switch
 * @typedef {{epoch: string | null, symbols: string[], sources: string[]}} Hello
 * @typedef {{[name: string]: {state: string, age_ms: number | null}}} SourceStates
 * @typedef {{state: 'live' | 'partly' | 'stale' | 'unreachable', live: number, total: number, real: boolean, dark: string[],
 *   pinned: string | null}} Verdict whether prices are live, as decided by the server for all viewers
 * @typedef {'connecting' | 'live' | 'silent' | 'nothing' | 'reconnecting' | 'refused' | 'offline'} Link
 *
 * @typedef {object} Page the callbacks of a page
 * @property {(symbols: string[]) => void} quotes these quotes changed
 * @property {() => void} replaced every quote was replaced by a snapshot
 * @property {(link: Link, reason: string) => void} link the connection's health or the server's verdict changed
 * @property {(hello: Hello, restarted: boolean) => void} [hello] what the server serves, whenever that changes;
 *   restarted: it has a different data set now
 * @property {(sources: SourceStates) => void} [status]
 * @property {(venues: Venues) => void} [venues]
 * @property {(best: Best) => void} [best]
 * @property {(index: Index) => void} [index]
 * @property {(depth: Depth) => void} [depth]
 * @property {(candles: Candles) => void} [candles]
 * @property {(change: Switch) => void} [source]
 */

/** The server sends `status` every 5 s, so a longer silence means that the connection is broken. */
const SILENT_MS = 6_000;
/** A connection that is silent for this long is closed and reopened. */
const RECONNECT_MS = 15_000;
const RETRY_MS = 2_000;

export class Live {
  /** @type {Map<string, Quote>} the newest quote of each symbol */
  quotes = new Map();
  clock = new ServerClock();
  /** @type {Link} */
  link = 'connecting';
  /** @type {Verdict | null} null: not yet received on this connection */
  verdict = null;

  /** Whether the server is sending, so that its last messages are current. */
  get receiving() {
    return this.link === 'live' || this.link === 'nothing';
  }

  #epoch = '';
  /** @type {Hello | null} the last one, with the instruments of now */
  #hello = null;
  #refusal = '';
  #judged = 0;
  #shown = '';
  #askAgain = 0;
  #heardAt = Date.now();
  #wasOpen = false;
  #subscription;
  #page;
  #socket;

  /**
   * Connect and subscribe until the page is closed.
   *
   * @param {object} subscription payload of `subscribe`
   * @param {Page} page
   */
  constructor(subscription, page) {
    this.#subscription = subscription;
    this.#page = page;
    this.#socket = io({
      path: new URL('./socket.io/', location.href).pathname,
      transports: ['websocket'],
      reconnectionDelay: 300,
      reconnectionDelayMax: 3_000,
    });
    this.#listen();
    setInterval(() => this.#check(), 500);
    for (const event of ['online', 'offline', 'visibilitychange']) addEventListener(event, () => this.#check());
  }

  /**
   * Set the server's verdict, unless a newer one is known.
   *
   * @param {Verdict} verdict
   * @param {number} time server's clock, ms
   */
  judge(verdict, time) {
    if (time < this.#judged) return;
    this.#judged = time;
    this.verdict = verdict;
    this.#wasOpen = true;
    this.#check();
  }

  /** Change the subscription. @param {object} changes of the payload of `subscribe` */
  resubscribe(changes) {
    this.#subscription = { ...this.#subscription, ...changes };
    if (!this.#socket.connected) return;
    // Subscribing only adds symbols.
    if ('symbols' in changes) this.#socket.emit('unsubscribe', { symbols: 'all' });
    this.#subscribe();
  }

  #listen() {
    const socket = this.#socket;
    socket.onAny(() => {
      this.#heardAt = Date.now();
      if (this.link !== 'live') this.#check();
    });
    socket.on('connect', () => {
      this.#heardAt = Date.now();
      this.verdict = null;
      this.#judged = 0;
      this.clock.reset();
      this.#subscribe();
      this.#check();
    });
    socket.on('disconnect', (/** @type {string} */ why) => {
      this.#refusal = '';
      this.#check();
      // Socket.IO does not reconnect by itself after the server has ended the session.
      if (why === 'io server disconnect') setTimeout(() => socket.connect(), RETRY_MS);
    });
    socket.on('connect_error', (/** @type {Error} */ error) => {
      // Active: it retries by itself. Otherwise the server refused this viewer, with a reason.
      if (socket.active) return this.#findReason();
      this.#refusal = error.message;
      setTimeout(() => socket.connect(), RECONNECT_MS);
      this.#check();
    });
    socket.on('hello', (/** @type {Hello} */ hello) => this.#greet(hello));
    socket.on('instruments', (/** @type {{added: string[], removed: string[]}} */ change) => this.#relist(change));
    socket.on('snapshot', (/** @type {Quote[]} */ quotes) => this.#replace(quotes));
    socket.on('quotes', (/** @type {Quote[]} */ quotes) => this.#merge(quotes));
    socket.on('status', (/** @type {{time: number, verdict: Verdict, sources: SourceStates}} */ status) => {
      this.clock.learn(status.time);
      this.judge(status.verdict, status.time);
      this.#page.status?.(status.sources);
    });
    for (const name of /** @type {const} */ (['venues', 'best', 'index', 'depth', 'candles', 'source'])) {
      socket.on(name, (/** @type {any} */ payload) => this.#page[name]?.(payload));
    }
  }

  /** Find out, now and then, why connecting fails. */
  async #findReason() {
    if (Date.now() < this.#askAgain) return;
    this.#askAgain = Date.now() + RECONNECT_MS;
    const why = await import('./refused.js').then((found) => found.whyRefused(), () => '');
    if (this.#socket.connected) return;
    this.#refusal = why;
    this.#check();
  }

  /** @param {Hello} hello */
  #greet(hello) {
    const restarted = this.#epoch !== '' && hello.epoch !== this.#epoch;
    // null: the gateway has no engine yet
    this.#epoch = hello.epoch ?? '';
    // The new data set may include what was refused before.
    if (restarted && this.#refusal) this.#subscribe();
    this.#hello = hello;
    this.#page.hello?.(hello, restarted);
  }

  /** @param {{added: string[], removed: string[]}} change */
  #relist({ added, removed }) {
    const gone = new Set(removed);
    for (const symbol of removed) this.quotes.delete(symbol);
    if (!this.#hello) return;
    const symbols = [...this.#hello.symbols.filter((symbol) => !gone.has(symbol)), ...added];
    this.#hello = { ...this.#hello, symbols };
    this.#page.hello?.(this.#hello, false);
  }

  #subscribe() {
    this.#refusal = '';
    this.#socket
      .timeout(5_000)
      .emit('subscribe', this.#subscription, (/** @type {Error | null} */ late, /** @type {any} */ answer) => {
        if (!late && answer?.ok) return;
        this.#refusal = late ? 'The server did not answer the subscription.' : String(answer?.reason ?? '');
        this.#check();
        setTimeout(() => {
          if (this.#socket.connected && this.#refusal) this.#subscribe();
        }, RETRY_MS);
      });
  }

  /** @param {Quote[]} quotes */
  #replace(quotes) {
    this.quotes.clear();
    for (const quote of quotes) {
      this.quotes.set(quote.symbol, quote);
      this.clock.learn(quote.published);
    }
    this.#page.replaced();
  }

  /** @param {Quote[]} quotes complete, or only the changed fields of each */
  #merge(quotes) {
    for (const quote of quotes) {
      const held = this.quotes.get(quote.symbol);
      this.quotes.set(quote.symbol, held ? { ...held, ...quote } : quote);
      this.clock.learn(quote.published);
    }
    this.#page.quotes(quotes.map((quote) => quote.symbol));
  }

  /** Determine the connection's health, report a change, and reopen a dead connection. */
  #check() {
    // this machine's clock may have been set back
    this.#heardAt = Math.min(this.#heardAt, Date.now());
    const silence = Date.now() - this.#heardAt;
    const link = this.#judge(silence);
    const shown = JSON.stringify([link, this.#refusal, this.verdict]);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.link = link;
      this.#page.link(link, this.#refusal);
    }
    if (this.#socket.connected && silence > RECONNECT_MS) {
      this.#heardAt = Date.now();
      this.#socket.disconnect().connect();
    }
  }

  /**
   * @param {number} silence ms
   * @returns {Link}
   */
  #judge(silence) {
    if (!this.#socket.connected) {
      if (this.#refusal) return 'refused';
      if (!navigator.onLine) return 'offline';
      return this.#wasOpen ? 'reconnecting' : 'connecting';
    }
    if (silence > SILENT_MS) return 'silent';
    if (this.#refusal) return 'refused';
    if (!this.verdict) return this.#wasOpen ? 'reconnecting' : 'connecting';
    return this.verdict.live && this.verdict.state !== 'unreachable' ? 'live' : 'nothing';
  }
}
