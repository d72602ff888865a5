// A default io() of npm's socket.io-client, polling first: subscribes and prints the events it gets as JSON lines.
import { io } from 'socket.io-client';

const socket = io(process.argv[2]);
const say = (event, payload) => process.stdout.write(`${JSON.stringify([event, payload])}\n`);
socket.onAny(say);
socket.on('connect_error', (error) => say('connect_error', error.message));
socket.io.engine.once('upgrade', () => say('upgrade', null));
socket.emit('subscribe', { symbols: ['BTC-USDT'], interval_ms: 100 }, (answer) => say('acknowledged', answer));
