// A short drill of rolling restarts; `testing/drills/rolling` is the long one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { roll } from "./rolling.mjs";

const CASES = [
  { adapter: "redis-streams", signal: "SIGTERM", clients: 30 },
  { adapter: "redis-streams", signal: "SIGKILL", clients: 100 },
  { adapter: "nats-jetstream", signal: "SIGTERM", clients: 30 },
  { adapter: "nats-jetstream", signal: "SIGKILL", clients: 100 },
  { adapter: "nats", signal: "SIGTERM", clients: 30 },
];

for (const { adapter, signal, clients } of CASES) {
  test(`${adapter}: every message arrives once and in order, while each node gets a ${signal}`, async (t) => {
    const settings = { adapter, signal, clients, rate: 10, pause: 5, restarts: 3 };
    const counted = await roll(settings, (line) => t.diagnostic(line));
    t.diagnostic(JSON.stringify(counted));
    assert.equal(counted.restarts, 3);
    assert.ok(counted.sent > 50, `only ${counted.sent} were sent`);
    assert.ok(counted.reconnects >= clients, `only ${counted.reconnects} reconnects`);
    // Where sessions are recovered, nobody misses anything.
    if (counted.recovered > 0 && signal === "SIGTERM") assert.equal(counted.told, 0);
    assert.deepEqual([counted.duplicates, counted.reordered, counted.gaps], [0, 0, 0]);
  });
}
