// A default io() of npm's socket.io-client (polling first, then an upgrade): prints each event's name until
// it has seen two `quotes`, then the transport it ended on.
import { io } from 'socket.io-client';

const socket = io(process.argv[2]);
let quotes = 0;
const say = (text) => process.stdout.write(`${text}\n`);

socket.io.on('open', () => say(`opened ${socket.io.engine.transport.name}`));
socket.on('connect', () => {
  socket.emit('subscribe', { symbols: ['ticker_00', 'TICKER-01'] }, (answer) => say(`ack ${JSON.stringify(answer)}`));
});
for (const event of ['hello', 'snapshot', 'quotes', 'status']) {
  socket.on(event, (payload) => {
    say(`${event} ${Array.isArray(payload) ? payload.length : ''}`);
    quotes += event === 'quotes';
    if (quotes === 2) {
      say(`ended on ${socket.io.engine.transport.name}`);
      socket.close();
    }
  });
}
socket.on('connect_error', (error) => say(`error ${error.message}`));
