// Express, one route that answers bytes: node express.js PORT ANSWER
const fs = require("node:fs");
const express = require("express");

const [port, answer] = process.argv.slice(2);
const { body, headers } = JSON.parse(fs.readFileSync(answer, "utf8"));
const bytes = Buffer.from(body);
const app = express();
app.get("/courses", (request, response) => {
  // setHeader, because set() would add a charset to the type.
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.send(bytes);
});
app.listen(Number(port), "127.0.0.1");
