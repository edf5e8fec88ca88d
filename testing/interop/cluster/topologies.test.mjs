// A Node.js server and one under test where Redis is more than one plain server: a Redis Cluster, sentinels, TLS with a user.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { REFERENCE, TARGET, Target, connected, plain, until } from "../js/lib/target.mjs";
import { RedisCluster, Secure, Sentinels } from "./lib/topologies.mjs";
import { Switch } from "./lib/switch.mjs";
import { VALUES, WITH_VALUES, WITHOUT_VALUES, ask } from "./operations.mjs";

const ADAPTERS = ["redis", "redis-sharded", "redis-streams"];
// By place and Redis client of the Node.js server: the adapters.
const PLACES = {
  "a Redis Cluster": { start: RedisCluster.start, redis: ADAPTERS, ioredis: ADAPTERS },
  "sentinels": { start: Sentinels.start, ioredis: ADAPTERS },
  "TLS with a user": { start: Secure.start, redis: ADAPTERS, ioredis: ["redis"] },
};
const DIRECTIONS = { "Node.js → Sockeye": [0, 1], "Sockeye → Node.js": [1, 0] };
const CHOSEN = ["to all", "to a room", "in another namespace", "with acknowledgements", "serverSideEmit", "serverSideEmit with answers"];

for (const [name, { start, ...clients }] of Object.entries(PLACES)) {
  describe(name, () => {
    let place;

    before(async () => { place = await start(); });
    after(() => place?.stop());

    for (const [client, adapters] of Object.entries(clients)) {
      for (const adapter of adapters) {
        // Clients of Redis for Node.js publish at any server of a Redis Cluster: what they send one after the other overtakes itself.
        const keepsOrder = name !== "a Redis Cluster" || adapter !== "redis";
        describe(`${adapter}, by ${client}`, () => together({ adapter, client, keepsOrder }, () => place.flags));
      }
    }

    const skip = TARGET === REFERENCE && "the official server does not recover who was killed";
    test("a client whose node was killed is recovered by another", { skip }, (context) => recovers(context, place));
  });
}

for (const adapter of ADAPTERS) {
  test(`sentinels, and the master is killed: ${adapter}`, async (context) => {
    const place = await Sentinels.start();
    const nodes = [];
    context.after(async () => {
      try {
        for (const { node } of nodes) await node.stop();
      } finally {
        await place.stop();
      }
    });
    await meet(nodes, { adapter, client: "ioredis" }, place.flags);
    await place.failOver();
    await knowOneAnother(nodes, 20_000);
    for (const [from, to] of Object.values(DIRECTIONS)) {
      for (const operation of CHOSEN) {
        const values = { value: VALUES.text, room: `room-${from}`, isStringified: adapter === "redis" };
        await WITH_VALUES[operation]({ from: nodes[from], to: nodes[to], ...values });
      }
    }
  });
}

/** Starts one of each kind, and enters them; they know one another then. */
async function meet(nodes, { adapter, client }, flags) {
  for (const command of [REFERENCE, TARGET]) {
    const more = command === REFERENCE ? ["--redis-client", client] : [];
    const node = await Target.run(command, "--adapter", adapter, ...flags, ...more);
    nodes.push({ node, client: await node.connect(), other: await node.connect(), nodes: 2 });
  }
  await knowOneAnother(nodes, 10_000);
}

/** Waits until each counts two, and hears the other. */
async function knowOneAnother(nodes, patience) {
  for (const { client } of nodes) {
    // A node that is not connected to Redis does not answer.
    const count = () => client.timeout(500).emitWithAck("server-count").catch(() => 0);
    await until(async () => await count() === 2, "the nodes do not count one another", patience);
  }
  for (const [from, to] of Object.values(DIRECTIONS)) {
    let heard = false;
    nodes[to].client.once("met", () => { heard = true; });
    const isHeard = async () => heard || (await nodes[from].node.ask("emit", { event: "met" }), false);
    await until(isHeard, "the nodes do not hear one another", patience);
  }
}

/** The operations, from one to the other and back. */
function together({ adapter, client, keepsOrder }, flags) {
  const nodes = [];
  const isStringified = adapter === "redis";

  before(() => meet(nodes, { adapter, client }, flags()));

  after(async () => {
    for (const { node } of nodes) await node.stop();
  });

  let number = 0;
  for (const [direction, [from, to]] of Object.entries(DIRECTIONS)) {
    const isOrdered = keepsOrder || (from === 1 && TARGET !== REFERENCE);
    const check = (name, run, value) => test(`${direction}: ${name}`, async () => {
      number += 1;
      await run({ from: nodes[from], to: nodes[to], value, room: `room-${number}`, isStringified, isOrdered });
    });
    for (const operation of CHOSEN) {
      for (const [kind, value] of Object.entries(VALUES)) check(`${operation}, ${kind}`, WITH_VALUES[operation], value);
    }
    for (const [operation, run] of Object.entries(WITHOUT_VALUES)) check(operation, run);
  }
}

/** A client of one node that dies comes back to another, while a Node.js server speaks. */
async function recovers(context, place) {
  const [speaker, home, other] = await Promise.all([REFERENCE, TARGET, TARGET].map((command) => {
    const more = command === REFERENCE ? ["--redis-client", "ioredis"] : [];
    return Target.run(command, "--adapter", "redis-streams", "--csr", "10000", ...place.flags, ...more);
  }));
  const way = await Switch.start();
  way.to(home.port);
  const client = io(way.url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 50, transports: ["websocket"] });
  context.after(async () => {
    client.disconnect();
    way.stop();
    for (const node of [speaker, other]) await node.stop();
  });
  await connected(client);
  const { id } = client;
  const got = [];
  client.on("n", (...args) => got.push(args.slice(0, 2)));
  await ask(client, "join", "room");
  await ask(client, "set-data", { name: "n" });
  const content = (n) => (n % 2 ? Buffer.from([n, 255]) : `text ${n}`);
  const say = (n) => speaker.ask("emit", { rooms: n % 3 ? ["room"] : [id], event: "n", args: [n, content(n)] });
  const all = Array.from({ length: 60 }, (_, n) => [n, content(n)]);

  // A node that has just begun reads what is sent from then on.
  let heard = false;
  client.once("probe", () => { heard = true; });
  await until(async () => { await speaker.ask("emit", { rooms: ["room"], event: "probe" }); return heard; }, "the room is not heard of");
  await until(() => place.has(`sio:session:${client._pid}`), "the session is not written");
  for (let n = 0; n < 20; n += 1) await say(n);
  await until(() => got.length === 20, `only ${got.length} came`);
  way.to(other.port);
  const back = new Promise((resolve) => client.once("connect", resolve));
  const flying = Array.from({ length: 20 }, (_, n) => say(20 + n));
  await home.kill("SIGKILL");
  await Promise.all(flying);
  await back;
  assert.equal(client.recovered, true, "not recovered");
  assert.equal(client.id, id);
  for (let n = 40; n < all.length; n += 1) await say(n);
  await until(() => got.length >= all.length, `only ${got.length} came`);
  assert.deepEqual(plain(got), plain(all));
  assert.deepEqual((await ask(client, "rooms"))[0], ["room", id].sort());
  assert.deepEqual((await ask(client, "get-data"))[0], { name: "n" });
}
