/**
 * The viewer's own trades in one instrument, followed live. A lost answer does no harm, because all trades are
 * requested again at intervals.
 *
 * @module
 */

/** @typedef {import('./trades.js').Trade} Trade */

/** The trades are requested at this interval; a connection without an answer by then is closed. */
const AGAIN_MS = 15_000;
const RETRY_MS = 2_000;
/** The server sends at most this many; older ones are forgotten. */
const MOST = 1_000;
/** Message types: GetTrades and TradesList, Identify, ExecutionReport. */
const TRADES = 6;
const IDENTIFY = 7;
const REPORT = 3;

/**
 * Follow an account's trades until the page is closed.
 *
 * @param {string} symbol
 * @param {string} account its client id
 * @param {(trades: Trade[]) => void} changed called with all of them, oldest first, after a change
 */
export function followTrades(symbol, account, changed) {
  /** @type {Map<string, Trade>} by exec_id */
  let trades = new Map();
  const url = new URL('./ws?mode=extended', location.href);
  url.protocol = url.protocol.replace('http', 'ws');

  /** @param {Trade[]} received */
  const add = (received) => {
    const fresh = received.filter(({ exec_id }) => !trades.has(exec_id));
    if (!fresh.length) return;
    const all = [...trades.values(), ...fresh].sort((a, b) => a.time - b.time).slice(-MOST);
    trades = new Map(all.map((one) => [one.exec_id, one]));
    changed(all);
  };

  const open = () => {
    const socket = new WebSocket(url);
    let answered = true;
    const lose = () => {
      clearInterval(timer);
      socket.onclose = null;
      socket.close();
      setTimeout(open, RETRY_MS);
    };
    const request = () => {
      if (!answered || socket.readyState !== WebSocket.OPEN) return lose();
      answered = false;
      socket.send(JSON.stringify({ messageType: TRADES, message: { instrument: symbol } }));
    };
    const timer = setInterval(request, AGAIN_MS);
    socket.onopen = () => {
      socket.send(JSON.stringify({ messageType: IDENTIFY, message: { client_id: account } }));
      request();
    };
    socket.onmessage = ({ data }) => {
      const { messageType, message } = JSON.parse(data);
      if (messageType === TRADES) add(message.trades);
      // the server spells the instrument as the request did
      else if (messageType === REPORT && message.exec_type === 'trade' && message.instrument === symbol) {
        add([{ ...message, amount: message.last_amount, price: message.last_price }]);
      }
      answered ||= messageType !== REPORT;
    };
    socket.onclose = lose;
  };
  open();
}
