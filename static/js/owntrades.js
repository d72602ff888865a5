/**
 * The viewer's own trades of one instrument, as they are and as they come.
 *
 * @module
 */

import { OrderError, OrderLink, TRADES } from './orderlink.js';
import { fold } from './search.js';

/** @typedef {import('./trades.js').Trade} Trade */

const RETRY_MS = 5_000;
/** As many as the server gives at once; older ones are forgotten. */
const MOST = 1_000;

export class OwnTrades {
  /** @type {Map<string, Trade>} by exec_id, oldest first */
  #trades = new Map();
  #symbol;
  #take;
  #link;

  /**
   * Follow an account's trades for as long as the page lives.
   *
   * @param {string} symbol
   * @param {string} account its client id
   * @param {(trades: Trade[]) => void} take called with all of them, oldest first
   */
  constructor(symbol, account, take) {
    this.#symbol = symbol;
    this.#take = take;
    this.#link = new OrderLink(account, {
      state: (state) => state === 'live' && this.#ask(),
      report: (report) => this.#hear(report),
    });
  }

  async #ask() {
    try {
      const { trades } = await this.#link.ask(TRADES, { instrument: this.#symbol });
      for (const trade of trades) this.#trades.set(trade.exec_id, trade);
      if (trades.length) this.#tell();
    } catch (error) {
      if (!(error instanceof OrderError)) throw error;
      if (this.#link.state === 'live') setTimeout(() => this.#ask(), RETRY_MS); // else it is asked for when it is back
    }
  }

  /** @param {import('./orderlink.js').Report} report */
  #hear({ exec_type, exec_id, instrument, side, last_amount, last_price, time }) {
    if (exec_type !== 'trade' || last_amount === null || last_price === null) return;
    if (fold(instrument) !== fold(this.#symbol)) return;
    this.#trades.set(exec_id, { exec_id, side, amount: last_amount, price: last_price, time });
    this.#tell();
  }

  #tell() {
    const sorted = [...this.#trades.values()].sort((a, b) => a.time - b.time).slice(-MOST);
    this.#trades = new Map(sorted.map((one) => [one.exec_id, one]));
    this.#take(sorted);
  }
}
