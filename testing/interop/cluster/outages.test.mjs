// Nodes and Redis are killed under load, with every message accounted for by its number.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { connected, sleep, until } from "../js/lib/target.mjs";
import { Redis } from "./lib/redis.mjs";
import { Sockeye } from "./lib/sockeye.mjs";

const VARIANTS = [
  { adapter: "redis-native" },
  { adapter: "redis" },
  { adapter: "redis-sharded" },
  { adapter: "redis-streams" },
  { adapter: "redis-streams", keeps: true },
];
const NODES = 3;
/** Milliseconds from one message of a sender to the next. */
const PACE = 5;
/** How long messages go on before and after something is killed. */
const CALM = 700;
/** What is sent so shortly before a kill may be lost with it. */
const EDGE = 250;

for (const { adapter, keeps } of VARIANTS) {
  describe(`${adapter}${keeps ? ", and Redis keeps all on disk" : ""}`, () => {
    const nodes = [];
    const clients = [];
    let redis;

    before(async () => {
      redis = await Redis.start({ keeps });
      const environment = { SOCKEYE__CLUSTER__ADAPTER: adapter, SOCKEYE__CLUSTER__REDIS__URL: redis.url };
      for (let n = 0; n < NODES; n += 1) {
        const node = await Sockeye.start(environment);
        nodes.push(node);
        const client = new Client(node, n);
        clients.push(client);
        await client.joined();
      }
      await allAreReady(nodes);
      for (const client of clients) {
        for (const from of clients.filter((each) => each !== client)) await client.hears(from);
      }
    });

    after(async () => {
      for (const client of clients) client.socket.disconnect();
      for (const node of nodes) await node.stop();
      await redis?.stop();
    });

    test("Redis is killed, and comes back", async () => {
      const before = await Promise.all(nodes.map((node) => lost(node)));
      const sending = new Sending(clients);
      await sleep(CALM);
      await redis.kill();
      const killed = Date.now();
      for (const node of nodes) await until(() => node.problem(), "nobody notices", 10_000);
      await sleep(CALM);
      await redis.startAgain();
      await allAreReady(nodes);
      const healed = Date.now();
      await sleep(CALM);
      await sending.end();
      const isStreams = adapter === "redis-streams";
      for (const from of clients) {
        const gone = (await lost(nodes[from.name])) - before[from.name];
        for (const to of clients.filter((each) => each !== from)) {
          const missing = account(from, to);
          if (isStreams && keeps) {
            assert.ok(missing.length <= gone, `${missing.length} are missing, and ${gone} are counted as lost`);
          }
          // Streams keep what is sent while there is no connection, and who may have missed something because the stream itself is
          // gone is told so: it begins anew, and neither gets nor may send anything before it has joined again. Else it is for
          // those who listen when Redis gets it.
          const late = isStreams ? Math.max(killed, ...from.joins, ...to.joins) + EDGE : healed + EDGE;
          const odd = missing.filter((number) => from.sent[number] < killed - EDGE || from.sent[number] > late);
          assert.deepEqual(odd, [], "sent while all was well, and missing");
        }
      }
    });

    test("a node is killed, and comes back; the others miss nothing", async () => {
      const sending = new Sending(clients, clients.slice(0, 2));
      await sleep(CALM);
      await nodes[2].kill();
      await sleep(CALM);
      await nodes[2].startAgain();
      await allAreReady(nodes);
      await clients[2].joined();
      await sleep(EDGE);
      const back = Date.now();
      await sleep(CALM);
      await sending.end();
      for (const from of clients.slice(0, 2)) {
        for (const to of clients.slice(0, 2)) if (to !== from) assert.deepEqual(account(from, to), []);
        assert.deepEqual(account(from, clients[2]).filter((number) => from.sent[number] > back), []);
      }
    });
  });
}

/** A client on a node, which comes back by itself; what it has sent and got. */
class Client {
  constructor(node, name) {
    this.name = name;
    this.probes = new Set();
    this.socket = io(node.url, {
      forceNew: true,
      transports: ["websocket"],
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
      auth: { name: `n${name}`, color: "#123456" },
    });
    /** When it had joined, each time that it began anew. */
    this.joins = [];
    this.socket.on("connect", () => this.join(this.socket.recovered));
    this.socket.on("message", ({ from, number }) => {
      if (number === undefined) this.probes.add(from);
      else this.got.get(from).push(number);
    });
  }

  join(isRecovered) {
    this.isJoined = false;
    this.socket.timeout(5000).emitWithAck("join", { room: "lobby" }).then(() => {
      this.isJoined = true;
      if (!isRecovered) this.joins.push(Date.now());
    }, () => {});
  }

  async joined() {
    await connected(this.socket, 10_000);
    await until(() => this.socket.connected && this.isJoined, "has not joined");
  }

  async hears(other) {
    await until(async () => {
      other.socket.emit("message", { room: "lobby", from: other.name });
      await sleep(20);
      return this.probes.has(other.name);
    }, "the nodes do not know one another");
  }
}

/** Numbered messages of some clients to all others, until the end. */
class Sending {
  constructor(clients, senders = clients) {
    this.clients = clients;
    this.senders = senders;
    for (const each of clients) each.got = new Map(senders.map((sender) => [sender.name, []]));
    for (const sender of senders) sender.sent = [];
    this.timer = setInterval(() => senders.forEach((sender) => this.send(sender)), PACE);
  }

  send(sender) {
    sender.socket.emit("message", { room: "lobby", from: sender.name, number: sender.sent.length });
    sender.sent.push(Date.now());
  }

  /** Stops, and waits until the last that was sent has come to all. */
  async end() {
    clearInterval(this.timer);
    for (const sender of this.senders) {
      for (const to of this.clients.filter((each) => each !== sender)) {
        const isThere = () => to.got.get(sender.name).at(-1) === sender.sent.length - 1;
        await until(isThere, `the last message of ${sender.name} does not come to ${to.name}`, 10_000);
      }
    }
  }
}

/** Everything came in order and none twice. Gives the numbers that did not come. */
function account(from, to) {
  const got = to.got.get(from.name);
  got.reduce((last, number) => {
    assert.ok(number > last, `from ${from.name} to ${to.name}: ${number} after ${last}`);
    return number;
  }, -1);
  const there = new Set(got);
  return from.sent.map((_, number) => number).filter((number) => !there.has(number));
}

/** The messages that a node has counted as not sent, or not known to be. */
async function lost(node) {
  const counts = await Promise.all(["redis_lost_total", "redis_dropped_outgoing_total"].map((name) => node.metric(name)));
  return counts[0] + counts[1];
}

async function allAreReady(nodes) {
  for (const node of nodes) await until(async () => !(await node.problem()), "a node is not ready again", 15_000);
}
