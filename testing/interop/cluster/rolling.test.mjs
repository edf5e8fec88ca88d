// A short drill of rolling restarts; `testing/drills/rolling` is the long one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { roll } from "./rolling.mjs";

test("every message arrives once and in order, while each node is restarted", async (t) => {
  const counted = await roll({ clients: 30, rate: 10, pause: 5, restarts: 3 }, (line) => t.diagnostic(line));
  t.diagnostic(JSON.stringify(counted));
  assert.equal(counted.restarts, 3);
  assert.ok(counted.sent > 50, `only ${counted.sent} were sent`);
  assert.ok(counted.reconnects >= 30, `only ${counted.reconnects} reconnects`);
  // Where sessions are recovered, nobody misses anything.
  if (counted.recovered > 0) assert.equal(counted.told, 0);
  assert.deepEqual([counted.duplicates, counted.reordered, counted.gaps], [0, 0, 0]);
});
