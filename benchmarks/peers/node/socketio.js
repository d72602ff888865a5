// npm socket.io as its documentation shows it: node socketio.js PORT FEEDER
const net = require("node:net");
const readline = require("node:readline");
const { Server } = require("socket.io");

const [port, feeder] = process.argv.slice(2).map(Number);
const io = new Server();
const feed = net.connect(feeder, "127.0.0.1");
readline.createInterface({ input: feed }).on("line", (line) => io.emit("quotes", JSON.parse(line)));
io.listen(port);
