// A load balancer that asks for readiness: it takes out no node because the broker that all of them share is away.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { connected, until } from "../js/lib/target.mjs";
import { Balancer } from "./lib/balancer.mjs";
import { Redis } from "./lib/redis.mjs";
import { Sockeye } from "./lib/sockeye.mjs";

/** How many acknowledgements a client gets while Redis is away, one every tenth of a second. `./test --only cluster` has seconds of it. */
const BEATS = Number(process.env.READINESS_BEATS ?? 60);

const nodes = [];
let redis;
let balancer;

before(async () => {
  redis = await Redis.start();
  for (let n = 0; n < 3; n += 1) {
    nodes.push(await Sockeye.start({ SOCKEYE__CLUSTER__ADAPTER: "redis-native", SOCKEYE__CLUSTER__REDIS__URL: redis.url }));
  }
  for (const node of nodes) await until(async () => !(await node.problem()), "a node is not ready", 15_000);
  balancer = await Balancer.start("haproxy", nodes.map((node) => node.port), nodes.map((node) => Number(new URL(node.admin).port)));
});

after(async () => {
  await balancer?.stop();
  for (const node of nodes) await node.stop();
  await redis?.stop();
});

test("no server is taken out while Redis is away, and clients are served", async () => {
  await until(async () => (await balancer.states()).every(({ status }) => status === "UP"), "HAProxy does not see the nodes");
  const clients = nodes.map((_, n) => io(balancer.url, { forceNew: true, transports: ["websocket"], auth: { name: `n${n}`, color: "#123456" } }));
  const failures = [];
  for (const client of clients) {
    client.on("disconnect", (reason) => failures.push(reason));
    await connected(client);
  }
  await redis.kill();
  for (const node of nodes) {
    await until(async () => (await node.problem()).startsWith("ready, but degraded: "), "a node does not notice", 10_000);
  }
  for (let beat = 0; beat < BEATS; beat += 1) {
    await Promise.all(clients.map((client) => client.timeout(5000).emitWithAck("join", { room: `room ${beat}` })));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // New clients come in as well.
  const late = io(balancer.url, { forceNew: true, transports: ["websocket"], auth: { name: "late", color: "#123456" } });
  await connected(late);
  assert.deepEqual(await balancer.states(), nodes.map(() => ({ status: "UP", down: 0 })));
  assert.deepEqual(failures, []);
  await redis.startAgain();
  for (const node of nodes) await until(async () => !(await node.problem()), "a node does not come back", 15_000);
  assert.deepEqual((await balancer.states()).map(({ down }) => down), [0, 0, 0]);
  for (const client of [late, ...clients]) client.off("disconnect").disconnect();
});
