// Emitters, programs that are no nodes, reach the clients of Node.js servers and of the servers under test.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { REFERENCE, TARGET, Target, next, plain, sleep, until } from "../js/lib/target.mjs";
import { ByHand, Command, Official, Official4, Python } from "./lib/emitters.mjs";
import { Redis } from "./lib/redis.mjs";
import { ask, stringified } from "./operations.mjs";

const EMITTERS = {
  "sockeye emit": Command,
  "@socket.io/redis-emitter": Official,
  "@socket.io/redis-emitter 4.1": Official4,
  "socket.io-emitter for Python": Python,
  "by hand": ByHand,
};
const ADAPTERS = {
  redis: ["sockeye emit", "@socket.io/redis-emitter", "@socket.io/redis-emitter 4.1", "socket.io-emitter for Python"],
  "redis-sharded": ["sockeye emit", "by hand"],
  "redis-sharded, static": ["sockeye emit", "by hand"],
  "redis-sharded, dynamic-private": ["sockeye emit", "by hand"],
  "redis-streams": ["sockeye emit", "by hand"],
  "redis-native": ["sockeye emit"],
};
const TEXT = [{ text: "é\u2028\"", list: [1, 2.5, null, true] }, -5];
const BINARY = ["x", Buffer.from([0, 1, 254, 255])];

for (const [adapter, names] of Object.entries(ADAPTERS)) {
  describe(`with ${adapter}`, () => {
    const nodes = [];
    const clients = [];
    let redis;

    before(async () => {
      redis = await Redis.start();
      const [name, mode] = adapter.split(", ");
      const flags = ["--adapter", name, "--url", redis.url, ...(mode ? ["--subscription-mode", mode] : [])];
      // The native mode is for nodes of Sockeye alone.
      for (const command of [name === "redis-native" ? TARGET : REFERENCE, TARGET]) {
        const node = await Target.run(command, ...flags);
        nodes.push(node);
        clients.push(await node.connect(), await node.connect());
      }
      await all(clients, async (client) => {
        await until(async () => (await ask(client, "server-count"))[0] === 2, "the nodes do not know one another", 10_000);
      });
    });

    after(async () => {
      for (const node of nodes) await node.stop();
      await redis?.stop();
    });

    for (const name of names) {
      describe(name, () => {
        const { binaries, dates, orders, exceptions } = EMITTERS[name].has;
        let emitter;
        let room = "";
        let number = 0;

        const check = (what, run) => test(what, async () => {
          number += 1;
          room = `${names.indexOf(name)}-${number}`;
          await run();
        });

        /** What each client gets by `run`, up to what is sent to all afterwards. */
        async function gets(run, receivers = clients, nsp = "/") {
          const seen = receivers.map(() => []);
          const listeners = receivers.map((client, at) => {
            const listener = (...event) => seen[at].push(plain(event));
            client.onAny(listener);
            return listener;
          });
          await run();
          const mark = [`mark-${Math.random()}`];
          await emitter.emit({ nsp }, ...mark);
          const isMark = ([event]) => event === mark[0];
          await until(() => seen.every((events) => events.some(isMark)), `no mark: ${JSON.stringify(seen)}`);
          receivers.forEach((client, at) => client.offAny(listeners[at]));
          return seen.map((events) => events.filter((event) => !isMark(event)));
        }

        /** The first client of each node joins, and hears of it: the subscription to a room's channel takes a moment. */
        async function joined(name) {
          await all([clients[0], clients[2]], async (client) => {
            await ask(client, "join", name);
            let heard = false;
            client.once(`probe ${name}`, () => { heard = true; });
            await until(async () => {
              await emitter.emit({ rooms: [name] }, `probe ${name}`);
              await sleep(20);
              return heard;
            }, "the room is not heard of");
          });
          await gets(async () => {});
        }

        before(async () => { emitter = await EMITTERS[name].start(redis, adapter); });
        after(async () => { await emitter?.stop(); });

        check("to all", async () => {
          const event = plain(["all", ...TEXT]);
          assert.deepEqual(await gets(() => emitter.emit({}, "all", ...TEXT)), Array(4).fill([event]));
        });
        if (binaries) {
          check("binaries, to all", async () => {
            const event = plain(["all", ...BINARY]);
            assert.deepEqual(await gets(() => emitter.emit({ volatile: true }, "all", ...BINARY)), Array(4).fill([event]));
          });
        }
        if (dates) {
          check("dates and undefined, to clients of Sockeye", async () => {
            const date = new Date("2026-01-02T03:04:05.678Z");
            const sent = [date, { at: date, list: [undefined] }];
            const got = await gets(() => emitter.emit({}, "dates", ...sent), clients.slice(2));
            // As JSON writes them.
            assert.deepEqual(got, Array(2).fill([["dates", ...JSON.parse(JSON.stringify(sent))]]));
          });
        }
        check("to a room", async () => {
          await joined(room);
          const got = await gets(() => emitter.emit({ rooms: [room] }, "e", 1));
          assert.deepEqual(got, [[["e", 1]], [], [["e", 1]], []]);
        });
        check("to one client", async () => {
          for (const at of [1, 3]) {
            // The subscription to its own channel, where it has one, came with its connection.
            const got = await gets(() => emitter.emit({ rooms: [clients[at].id] }, "e", 1));
            assert.deepEqual(got, clients.map((_, each) => (each === at ? [["e", 1]] : [])));
          }
        });
        check("in another namespace", async () => {
          const others = await Promise.all(nodes.map((node) => node.connect("/custom")));
          await all(others, async (other) => {
            await until(async () => (await ask(other, "server-count"))[0] === 2, "not all nodes are in /custom", 10_000);
          });
          const nobody = await gets(async () => {
            const got = await gets(() => emitter.emit({ nsp: "/custom" }, "e", ...TEXT), others, "/custom");
            assert.deepEqual(got, Array(2).fill([plain(["e", ...TEXT])]));
          });
          assert.deepEqual(nobody, Array(4).fill([]));
          others.forEach((other) => other.disconnect());
        });
        if (exceptions) {
          check("to rooms, with exceptions", async () => {
            await joined(`${room}-a`);
            await joined(`${room}-b`);
            const rooms = [`${room}-a`, `${room}-b`, clients[1].id, clients[3].id];
            const got = await gets(() => emitter.emit({ rooms, except: [clients[2].id, clients[1].id] }, "e", 1));
            assert.deepEqual(got, [[["e", 1]], [], [], [["e", 1]]]);
          });
        }
        if (orders) {
          check("join and leave", async () => {
            await joined(room);
            const members = (name) => all(clients, async (client) => (await ask(client, "rooms"))[0].includes(name));
            const has = async (name, expected) => {
              await until(async () => String(await members(name)) === String(expected), `the members of ${name} are not as they should be`);
            };
            await emitter.join({ rooms: [room] }, [`${room}-1`, `${room}-2`]);
            for (const each of [1, 2]) await has(`${room}-${each}`, [true, false, true, false]);
            await emitter.leave({ except: [clients[0].id] }, [`${room}-1`]);
            await has(`${room}-1`, [true, false, false, false]);
            await has(`${room}-2`, [true, false, true, false]);
          });
          check("disconnect", async () => {
            const guests = await Promise.all(nodes.map((node) => node.connect()));
            await all(guests, (guest) => ask(guest, "join", room));
            const gone = guests.map((guest) => next(guest, "disconnect"));
            await emitter.disconnect({ rooms: [room] });
            for (const reason of await Promise.all(gone)) assert.equal(reason[0], "io server disconnect");
            assert.ok(clients.every((client) => client.connected));
          });
          for (const [kind, value] of Object.entries({ text: TEXT, binaries: BINARY })) {
            check(`events for programs, ${kind}`, async () => {
              const got = await gets(() => emitter.serverSideEmit({}, "server-event", ...value));
              const expected = adapter === "redis" ? stringified(value) : value;
              assert.deepEqual(got, Array(4).fill([plain(["server-event", ...expected])]));
            });
          }
        }
        check("is no node", async () => {
          for (const client of clients) assert.deepEqual(await ask(client, "server-count"), [2]);
        });
      });
    }
  });
}

test("sockeye emit tells that nobody listens", async () => {
  const redis = await Redis.start();
  const emitter = await Command.start(redis, "redis");
  assert.match(await emitter.emit({}, "e"), /^note: nobody got it: no server runs, or/);
  await emitter.stop();
  await redis.stop();
});

function all(list, run) {
  return Promise.all(list.map(run));
}
