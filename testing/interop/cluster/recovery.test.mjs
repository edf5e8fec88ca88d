// Clients whose node is killed, with the official client and redis-streams: they come back to another node, and nobody tells them to.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { REFERENCE, TARGET, Target, connected, plain, sleep, until } from "../js/lib/target.mjs";
import { Redis } from "./lib/redis.mjs";
import { Sockeye } from "./lib/sockeye.mjs";
import { Switch } from "./lib/switch.mjs";
import { ask } from "./operations.mjs";

const LONGEST = 6000;
const servesNode = TARGET === REFERENCE;

describe("recovery over redis-streams", { skip: servesNode && "the official server does not recover who was killed" }, () => {
  let redis;
  const all = [];

  const start = async (command = TARGET, ...more) => {
    const node = await Target.run(
      command, "--adapter", "redis-streams", "--url", redis.url, "--csr", String(LONGEST),
      "--ping-interval", "500", "--ping-timeout", "500", ...more,
    );
    all.push(node);
    return node;
  };

  before(async () => { redis = await Redis.start(); });

  after(async () => {
    for (const node of all) if (node.alive) await node.stop();
    await redis?.stop();
  });

  /** A client that is led to one node after the other, and what it gets. */
  async function guest(context, node, { first = true, isNode = false } = {}) {
    const way = await Switch.start();
    way.to(node.port);
    const client = io(way.url, {
      forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 50, randomizationFactor: 0, transports: ["websocket"],
    });
    const got = [];
    client.on("n", (n, ...rest) => got.push([n, ...rest.slice(0, 1)]));
    context.after(() => { client.disconnect(); way.stop(); });
    await connected(client);
    const self = { client, way, got, id: client.id };
    if (first) await ask(client, "ack", 1);
    // A node that has just begun writes its sessions once it is connected to Redis.
    if (!isNode) await until(() => redis.has("sio:session:" + client._pid), "the session is not written");
    return self;
  }

  const content = (n) => (n % 3 === 2 ? Buffer.from([n % 256, 1, 2]) : `text ${n}`);
  const say = (node, rooms, n) => node.ask("emit", { rooms, event: "n", args: [n, content(n)] });

  function sameNumbers(got, count) {
    assert.deepEqual(plain(got), plain(Array.from({ length: count }, (_, n) => [n, content(n)])));
  }

  /** The node dies, and the client comes back to the other one. */
  async function moves({ client, way, id }, from, to, meanwhile = () => {}) {
    way.to(to.port);
    const back = new Promise((resolve) => client.once("connect", resolve));
    if (from) await from.kill("SIGKILL");
    else way.cut();
    await meanwhile();
    await back;
    assert.equal(client.recovered, true, "not recovered");
    assert.equal(client.id, id);
  }

  test("all that was missed comes, in order and once; id, rooms and data stay; several times in a row", async (context) => {
    const speaker = await start();
    let home = await start();
    const self = await guest(context, home);
    await ask(self.client, "join", "room");
    await ask(self.client, "set-data", { name: "n" });
    let n = 0;
    for (let round = 0; round < 4; round += 1) {
      const other = await start();
      // Some of these are on their way when the node dies.
      for (let i = 0; i < 30; i += 1) await say(speaker, ["room"], n++);
      const flying = Array.from({ length: 20 }, () => say(speaker, ["room"], n++));
      await moves(self, home, other, async () => {
        await Promise.all(flying);
        for (let i = 0; i < 20; i += 1) await say(speaker, i % 2 ? ["room"] : [self.id], n++);
        await say(speaker, ["elsewhere"], -1);
      });
      for (let i = 0; i < 10; i += 1) await say(speaker, ["room"], n++);
      await until(() => self.got.length >= n, `only ${self.got.length} of ${n} came`);
      assert.deepEqual((await ask(self.client, "rooms"))[0], ["room", self.id].sort());
      assert.deepEqual((await ask(self.client, "get-data"))[0], { name: "n" });
      assert.equal((await ask(self.client, "recovered"))[0], true);
      home = other;
    }
    sameNumbers(self.got, n);
  });

  test("events of a dying node's own clients are neither lost nor doubled", async (context) => {
    const [home, other] = [await start(), await start()];
    const self = await guest(context, home);
    const observer = await guest(context, other);
    const talker = await home.connect();
    await ask(talker, "ack", 1);
    let sent = 0;
    const talking = setInterval(() => { for (let i = 0; i < 5; i += 1) talker.emit("all", sent++); }, 1);
    const heard = { self: [], observer: [] };
    self.client.on("all", (x) => heard.self.push(x));
    observer.client.on("all", (x) => heard.observer.push(x));
    await until(() => heard.self.length > 300, "nothing is heard");
    await moves(self, home, other, () => clearInterval(talking));
    await say(other, [], 0);
    await until(() => self.got.length === 1 && observer.got.length === 1, "the end does not come");
    assert.deepEqual(heard.self, heard.observer, "what the one node saw is what the other saw");
    assert.deepEqual(heard.self, Array.from({ length: heard.self.length }, (_, x) => x));
  });

  test("before the first event", async (context) => {
    const [speaker, home, other] = [await start(), await start(), await start()];
    const self = await guest(context, home, { first: false });
    await moves(self, home, other, async () => { for (let n = 0; n < 5; n += 1) await say(speaker, [], n); });
    await until(() => self.got.length >= 5, "not all came");
    sameNumbers(self.got, 5);
  });

  test("after volatile events, also such as end with a string", async (context) => {
    const [speaker, home, other] = [await start(), await start(), await start()];
    const self = await guest(context, home);
    for (let n = 0; n < 3; n += 1) await say(speaker, [], n);
    await until(() => self.got.length === 3, "not all came");
    for (const [from, args] of [[home, [1]], [speaker, []], [home, ["text"]], [speaker, ["0-1"]], [home, ["99999999999999-0"]]]) {
      const seen = new Promise((resolve) => self.client.once("v", resolve));
      await from.ask("emit", { volatile: true, event: "v", args });
      await seen;
    }
    await moves(self, home, other, async () => {
      await speaker.ask("emit", { volatile: true, event: "n", args: ["never"] });
      for (let n = 3; n < 6; n += 1) await say(speaker, [], n);
    });
    await until(() => self.got.length >= 6, "not all came");
    await sleep(50);
    sameNumbers(self.got, 6);
  });

  test("a connection that is older than a session may be, and quiet", async (context) => {
    const [speaker, home, other] = [await start(), await start(), await start()];
    const self = await guest(context, home, { first: false });
    await sleep(LONGEST + 1000);
    await moves(self, home, other, () => say(speaker, [], 0));
    await until(() => self.got.length >= 1, "it did not come");
    sameNumbers(self.got, 1);
  });

  test("a client that comes back before its node has noticed, to another and to the same", async (context) => {
    const [speaker, home, other] = [await start(), await start(), await start()];
    const self = await guest(context, home);
    let n = 0;
    for (const to of [other, other, home, other, home]) {
      await moves(self, undefined, to, () => say(speaker, [self.id], n++));
      await say(speaker, [self.id], n++);
      await until(() => self.got.length >= n, "not all came");
      assert.equal((await ask(self.client, "ack", "alive"))[0], "alive");
    }
    // No old socket of the same id is left to take the new one away.
    await sleep(1500);
    assert.equal((await ask(self.client, "fetch", self.id))[0].length, 1);
    sameNumbers(self.got, n);
  });

  test("from Node.js to Sockeye and back", async (context) => {
    const [node, sockeye] = [await start(REFERENCE), await start()];
    await until(async () => (await node.ask("server-count"))?.[0] !== 0, "no cluster").catch(() => {});
    const self = await guest(context, node, { isNode: true });
    await ask(self.client, "join", "both");
    await ask(self.client, "set-data", { from: "node" });
    let n = 0;
    // Two servers: which comes first is for Redis to say, unless the first has arrived.
    await say(sockeye, ["both"], n++);
    await until(() => self.got.length === 1, "the first did not come");
    await say(node, ["both"], n++);
    await until(() => self.got.length === 2, "not all came");
    for (const to of [sockeye, node, sockeye]) {
      await moves(self, undefined, to, async () => {
        await say(sockeye, ["both"], n++);
        await sleep(100);
        await say(node, ["both"], n++);
      });
      await until(() => self.got.length >= n, `only ${self.got.length} of ${n} came`);
      assert.deepEqual((await ask(self.client, "get-data"))[0], { from: "node" });
      assert.deepEqual((await ask(self.client, "rooms"))[0], ["both", self.id].sort());
    }
    sameNumbers(self.got, n);
  });

  test("who cannot be recovered is told so", async (context) => {
    const [speaker, home, other] = [await start(), await start(), await start()];
    const self = await guest(context, home);
    await say(speaker, [], 0);
    await until(() => self.got.length === 1, "it did not come");
    // Too late.
    self.way.to(1);
    await home.kill("SIGKILL");
    await sleep(LONGEST * 4 / 3 + 500);
    const back = new Promise((resolve) => self.client.once("connect", resolve));
    self.way.to(other.port);
    await back;
    assert.equal(self.client.recovered, false);
    assert.notEqual(self.client.id, self.id);
    // Its new session is one like any other.
    self.id = self.client.id;
    const third = await start();
    await moves(self, other, third, () => say(speaker, [], 1));
    await until(() => self.got.length === 2, "it did not come");
    sameNumbers(self.got, 2);
  });

  test("three standalone servers, by configuration alone", async (context) => {
    const settings = { SOCKEYE__CLUSTER__ADAPTER: "redis-streams", SOCKEYE__CLUSTER__REDIS__URL: redis.url };
    const [home, other, speaker] = [await Sockeye.start(settings), await Sockeye.start(settings), await Sockeye.start(settings)];
    context.after(async () => { for (const server of [other, speaker]) await server.stop(); });
    const auth = (name) => ({ name, color: "#123456" });
    const way = await Switch.start();
    way.to(home.port);
    const client = io(way.url, { forceNew: true, auth: auth("a"), reconnectionDelay: 20, reconnectionDelayMax: 50 });
    const talker = io(speaker.url, { forceNew: true, auth: auth("b") });
    context.after(() => { client.disconnect(); talker.disconnect(); way.stop(); });
    const seen = [];
    client.on("message", (message) => seen.push(message.text));
    for (const each of [client, talker]) {
      await connected(each);
      await each.timeout(5000).emitWithAck("join", { room: "lobby" });
    }
    const { id } = client;
    const texts = Array.from({ length: 30 }, (_, n) => `message ${n}`);
    const speak = (text) => talker.emit("message", { room: "lobby", text });
    await until(async () => { speak("probe"); await sleep(50); return seen.length; }, "nothing comes");
    texts.slice(0, 10).forEach(speak);
    way.to(other.port);
    const back = new Promise((resolve) => client.once("connect", resolve));
    home.child.kill("SIGKILL");
    texts.slice(10, 20).forEach(speak);
    await back;
    assert.equal(client.recovered, true, "not recovered");
    assert.equal(client.id, id);
    texts.slice(20).forEach(speak);
    await until(() => seen.includes(texts.at(-1)), `only these came: ${seen}`);
    assert.deepEqual(seen.filter((text) => text !== "probe"), texts);
  });
});
