// The attacker, as a process: runs one attack until its time is over, and then holds what it has until it is told to go.

import { attacks } from "../attacks/index.mjs";
import { options, serve } from "./process.mjs";
import { openConnections, sentBytes, sleep } from "./wire.mjs";

/** It ends by itself, even if nobody tells it to. */
const GRACE = 30_000;

process.on("uncaughtException", (error) => {
  process.send({ finished: { error: String(error.stack), sent: sentBytes(), open: openConnections() } });
});

const attack = attacks.find(({ name }) => name === options.name);
const deadline = Date.now() + options.seconds * 1000;
setTimeout(() => process.exit(1), options.seconds * 1000 + GRACE);
serve((message) => { if (message.go) process.exit(0); });

const target = { port: options.port, adminPort: options.adminPort };
// A server that reads no further makes it wait, but not longer than that.
const isOver = sleep(deadline - Date.now());
const found = await Promise.race([attack.run({ target, deadline }), isOver.then(() => sleep(500))]);
// What it has taken is held to the end.
await isOver;
process.send({ finished: { ...found, sent: sentBytes(), open: openConnections() } });
