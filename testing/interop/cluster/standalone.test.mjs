// The standalone server as a cluster by configuration alone: two processes, one Redis, the chat that is built in.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { connected, until } from "../js/lib/target.mjs";
import { Redis } from "./lib/redis.mjs";
import { Sockeye } from "./lib/sockeye.mjs";

for (const adapter of ["redis-native", "redis", "redis-sharded", "redis-streams"]) {
  describe(`sockeye with ${adapter}`, () => {
    const servers = [];
    const clients = [];
    let redis;

    before(async () => {
      redis = await Redis.start();
      for (let n = 0; n < 2; n += 1) {
        const server = await Sockeye.start({ SOCKEYE__CLUSTER__ADAPTER: adapter, SOCKEYE__CLUSTER__REDIS__URL: redis.url });
        servers.push(server);
        const client = io(server.url, { forceNew: true, reconnection: false, auth: { name: `n${n}`, color: "#123456" } });
        clients.push(client);
        await connected(client);
        await client.timeout(5000).emitWithAck("join", { room: "lobby" });
      }
    });

    after(async () => {
      for (const client of clients) client.disconnect();
      for (const server of servers) await server.stop();
      await redis?.stop();
    });

    test("a message reaches who is on the other node", async () => {
      for (const [from, to] of [[0, 1], [1, 0]]) {
        let seen;
        clients[to].once("message", (...args) => { seen = args; });
        // The nodes may not have met yet.
        await until(async () => {
          clients[from].emit("message", { room: "lobby", text: `from ${from}` });
          await new Promise((resolve) => setTimeout(resolve, 100));
          return seen;
        }, "no message");
        assert.match(JSON.stringify(seen), new RegExp(`from ${from}`));
      }
    });

    test("the members of a room are those on both nodes", async () => {
      const expected = clients.map((client) => client.id).sort();
      for (const client of clients) {
        const members = await until(async () => {
          const answer = await client.timeout(10_000).emitWithAck("members", { room: "lobby" });
          // The nodes may not have met yet.
          return answer.length === 2 && answer;
        }, "not both members");
        assert.deepEqual(members.map((member) => member.id).sort(), expected);
        assert.deepEqual(members.map((member) => member.data.name).sort(), ["n0", "n1"]);
      }
    });
  });
}
