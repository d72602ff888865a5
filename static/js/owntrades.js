/**
 * The viewer's own trades of one instrument, as they are and as they come. Nothing is asked here but these, so a
 * lost answer needs no care: all of them are asked for again and again.
 *
 * @module
 */

/** @typedef {import('./trades.js').Trade} Trade */

/** So often the trades are asked for; the connection is given up when no answer came until then. */
const AGAIN_MS = 15_000;
const RETRY_MS = 2_000;
/** As many as the server gives at once; older ones are forgotten. */
const MOST = 1_000;
/** GetTrades and TradesList, and ExecutionReport, of the order gateway. */
const TRADES = 6;
const IDENTIFY = 7;
const REPORT = 3;

/**
 * Follow an account's trades for as long as the page lives.
 *
 * @param {string} symbol
 * @param {string} account its client id
 * @param {(trades: Trade[]) => void} take called with all of them, oldest first, when there are others
 */
export function followTrades(symbol, account, take) {
  /** @type {Map<string, Trade>} by exec_id */
  let trades = new Map();
  const url = new URL('./ws?mode=extended', location.href);
  url.protocol = url.protocol.replace('http', 'ws');

  /** @param {Trade[]} told */
  const add = (told) => {
    const fresh = told.filter(({ exec_id }) => !trades.has(exec_id));
    if (!fresh.length) return;
    const all = [...trades.values(), ...fresh].sort((a, b) => a.time - b.time).slice(-MOST);
    trades = new Map(all.map((one) => [one.exec_id, one]));
    take(all);
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
    const ask = () => {
      if (!answered || socket.readyState !== WebSocket.OPEN) return lose();
      answered = false;
      socket.send(JSON.stringify({ messageType: TRADES, message: { instrument: symbol } }));
    };
    const timer = setInterval(ask, AGAIN_MS);
    socket.onopen = () => {
      socket.send(JSON.stringify({ messageType: IDENTIFY, message: { client_id: account } }));
      ask();
    };
    socket.onmessage = ({ data }) => {
      const { messageType, message } = JSON.parse(data);
      if (messageType === TRADES) add(message.trades);
      // an instrument is named as it was asked for
      else if (messageType === REPORT && message.exec_type === 'trade' && message.instrument === symbol) {
        add([{ ...message, amount: message.last_amount, price: message.last_price }]);
      }
      answered ||= messageType !== REPORT;
    };
    socket.onclose = lose;
  };
  open();
}
