// No sticky sessions: three nodes of the standalone server behind a load balancer that sends each request to the next one.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { connected, until } from "../js/lib/target.mjs";
import { BALANCERS, Balancer } from "./lib/balancer.mjs";
import { Redis } from "./lib/redis.mjs";
import { Sockeye } from "./lib/sockeye.mjs";

const CLIENTS = 12;
const MESSAGES = 20;

for (const name of BALANCERS) {
  describe(`behind ${name}`, () => {
    const nodes = [];
    let redis;
    let balancer;

    before(async () => {
      redis = await Redis.start();
      for (let n = 0; n < 3; n += 1) {
        nodes.push(await Sockeye.start({
          SOCKEYE__CLUSTER__ADAPTER: "redis-native",
          SOCKEYE__CLUSTER__REDIS__URL: redis.url,
          SOCKEYE__CLUSTER__PEERS__SECRET: "a secret of the nodes in this test",
        }));
      }
      balancer = await Balancer.start(name, nodes.map((node) => node.port));
    });

    after(async () => {
      await balancer?.stop();
      for (const node of nodes) await node.stop();
      await redis?.stop();
    });

    for (const transports of [["polling"], ["polling", "websocket"]]) {
      test(`every message arrives once and in order, by ${transports.join(", then ")}`, async () => {
        const failures = [];
        const clients = [];
        const seen = [];
        const room = transports.join();
        for (let n = 0; n < CLIENTS; n += 1) {
          const client = io(balancer.url, { forceNew: true, reconnection: false, transports, auth: { name: `n${n}`, color: "#123456" } });
          clients.push(client);
          client.on("connect_error", (error) => failures.push(error.message));
          client.on("disconnect", (reason) => failures.push(reason));
          await connected(client);
          seen.push([]);
          client.on("message", ({ from, number }) => seen[n].push([from, number]));
          await client.timeout(5000).emitWithAck("join", { room });
        }
        if (transports.includes("websocket")) {
          for (const client of clients) {
            await until(() => client.io.engine.transport.name === "websocket", "not upgraded");
          }
        }
        for (let number = 0; number < MESSAGES; number += 1) {
          clients.forEach((client, from) => client.emit("message", { room, from, number }));
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        const all = (CLIENTS - 1) * MESSAGES;
        await until(() => seen.every((list) => list.length >= all), `only ${seen.map((list) => list.length)} of ${all} came`, 20_000);
        for (const [n, list] of seen.entries()) {
          for (let from = 0; from < CLIENTS; from += 1) {
            const numbers = list.filter(([each]) => each === from).map(([, number]) => number);
            assert.deepEqual(numbers, from === n ? [] : Array.from({ length: MESSAGES }, (_, number) => number));
          }
        }
        assert.deepEqual(failures, []);
        for (const client of clients) client.off("disconnect").disconnect();
      });
    }
  });
}
