// A default io() of the package in the folder argv[2], at the address argv[3]; subscribes argv[4] times on each connect.
// Prints a line for each event: connect, disconnect, ack, refused, and each change of a price.
import { createRequire } from 'node:module';

const { io } = createRequire(`${process.argv[2]}/`)('socket.io-client');
const socket = io(process.argv[3]);
const times = Number(process.argv[4]);
const say = (text) => process.stdout.write(`${text}\n`);
const symbols = Array.from({ length: times }, (_, at) => `ticker_${String(at % 100).padStart(2, '0')}`);

socket.on('connect', () => {
  say('connect');
  for (const symbol of symbols) {
    socket.emit('subscribe', { symbols: [symbol], interval_ms: 250 }, (answer) => say(answer.ok ? 'ack' : `refused ${answer.code}`));
  }
});
socket.on('disconnect', (reason) => say(`disconnect ${reason}`));
socket.on('quotes', (quotes) => say(`quotes ${quotes.some((one) => !one.stale) ? 'live' : 'stale'}`));
