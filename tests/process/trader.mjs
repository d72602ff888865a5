// A trader over npm's ws with no option set: sends the four examples as they stand, waits for the fill of the first,
// then places and cancels an order in camelCase. Prints every frame it gets, and at the end the close code.
import WebSocket from 'ws';

const EXAMPLES = [
  '{"messageType": 3, "message": {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "87"}}',
  '{"messageType": 1, "message": {"instrument": "EUR/RUB"}}',
  '{"messageType": 2, "message": {"subscription_id": "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"}}',
  '{"messageType": 4, "message": {"order_id": "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"}}',
];
const FILLED = 2;
const CANCELLED = 4;

const socket = new WebSocket(process.argv[2]);
const send = (messageType, message) => socket.send(JSON.stringify({ messageType, message }));

socket.on('open', () => EXAMPLES.forEach((text) => socket.send(text)));
socket.on('message', (data) => {
  process.stdout.write(`${data}\n`);
  const { messageType, message } = JSON.parse(data);
  if (messageType === 3 && message.order_status === FILLED) {
    send(3, { instrument: 'eurrub', side: 'sell', amount: 2.5, price: 300 });
  } else if (messageType === 3 && message.order_status === 1 && message.order_id !== first) {
    if (first) send(4, { orderId: message.order_id });
    first ??= message.order_id;
  } else if (messageType === 3 && message.orderStatus === CANCELLED) {
    socket.close(1000);
  }
});
socket.on('close', (code) => process.stdout.write(`closed ${code}\n`));
socket.on('error', (error) => process.stdout.write(`error ${error.message}\n`));
let first;
