// Connection state recovery: a lost connection comes back with its id, rooms and data, and with what it missed, once.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { io } from "socket.io-client";
import msgpackParser from "socket.io-msgpack-parser";
import { Proxy } from "./lib/proxy.mjs";
import { PollSession, RawSocket } from "./lib/raw.mjs";
import { connected, next, plain, sleep, Target, until, upgraded } from "./lib/target.mjs";

const VARIANTS = [
  { name: "polling", flags: [], options: { transports: ["polling"] } },
  { name: "websocket", flags: [], options: { transports: ["websocket"] } },
  { name: "polling then websocket", flags: [], options: {}, upgrade: true },
  { name: "msgpack", flags: ["--parser", "msgpack"], options: { transports: ["websocket"], parser: msgpackParser } },
];

const HEARTBEAT = ["--ping-interval", "1000", "--ping-timeout", "1000"];

/** A client through the proxy that comes back by itself, and has had one event, as recovery needs. */
async function join(context, target, proxy, nsp, options) {
  const client = io(proxy.url + nsp, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100, ...options });
  context.after(() => client.disconnect());
  await connected(client);
  client.emit("echo", "first");
  await next(client, "echo");
  return client;
}

async function cutAndMiss(target, proxy, client, miss) {
  const { id } = client;
  const endings = async () => (await target.ask("disconnects")).filter((entry) => entry.id === id).length;
  const before = await endings();
  const lost = next(client, "disconnect");
  proxy.cut();
  await lost;
  // Between two polls only the heartbeat tells the server.
  await until(async () => (await endings()) > before, "the server did not notice");
  await miss();
  const back = next(client, "connect");
  proxy.mend();
  await back;
}

for (const variant of VARIANTS) {
  describe(`recovery, ${variant.name}`, () => {
    const prepare = async (t, nsp = "/") => {
      const target = await Target.startFor(t, ...variant.flags, ...HEARTBEAT, "--csr", "60000");
      const proxy = await Proxy.start(t, target);
      const client = await join(t, target, proxy, nsp, variant.options);
      if (variant.upgrade) await upgraded(client);
      return { target, proxy, client };
    };
    const emit = (target, event, args, where = {}) => target.ask("emit", { event, args, ...where });

    test("id, rooms and data are kept; missed events come once, in order", async (t) => {
      const { target, proxy, client } = await prepare(t);
      await client.emitWithAck("join", ["mine", "other"]);
      await client.emitWithAck("set-data", { user: "x", list: [1, { a: null }] });
      const { id } = client;
      assert.equal(await client.emitWithAck("recovered"), false);
      const got = [];
      client.onAny((event, ...args) => got.push([event, ...plain(args)]));
      await emit(target, "news", ["before"]);
      await until(() => got.length === 1, "the event before");

      await cutAndMiss(target, proxy, client, async () => {
        assert.equal(await target.ask("room-size", "/", "mine"), 0);
        await emit(target, "news", [1, { deep: [true] }]);
        await emit(target, "news", [2, Buffer.from([1, 2])], { rooms: ["mine"] });
        await emit(target, "news", ["not for it"], { rooms: ["another room"] });
        await emit(target, "news", ["not for it"], { except: ["other"] });
        await emit(target, "news", ["volatile"], { volatile: true });
        await emit(target, "news", ["not for it"], { nsp: "/custom" });
        await emit(target, "news", [3], { rooms: [id] });
        await emit(target, "news", [4, "text last"], { rooms: ["mine", "other"] });
      });

      assert.equal(client.recovered, true);
      assert.equal(client.id, id);
      await emit(target, "news", [5]);
      await until(() => got.some(([, n]) => n === 5), "the event after");
      // The offset is the last argument of every event that can be recovered.
      const offsets = got.map((args) => args.pop());
      assert.ok(offsets.every((offset) => typeof offset === "string"));
      assert.equal(new Set(offsets).size, offsets.length);
      assert.deepEqual(got, [
        ["news", "before"], ["news", 1, { deep: [true] }], ["news", 2, { bytes: [1, 2] }], ["news", 3], ["news", 4, "text last"], ["news", 5],
      ]);
      assert.equal(await client.emitWithAck("recovered"), true);
      assert.deepEqual(await client.emitWithAck("rooms"), [id, "mine", "other"].sort());
      assert.deepEqual(await client.emitWithAck("get-data"), { user: "x", list: [1, { a: null }] });
      assert.equal(await target.ask("room-size", "/", "mine"), 1);
    });

    test("again and again", async (t) => {
      const { target, proxy, client } = await prepare(t);
      const { id } = client;
      const got = [];
      client.on("n", (n) => got.push(n));
      for (let round = 0; round < 4; round += 1) {
        await cutAndMiss(target, proxy, client, async () => {
          for (let i = 0; i < 5; i += 1) await emit(target, "n", [round * 5 + i]);
        });
        assert.deepEqual([client.recovered, client.id], [true, id]);
      }
      await until(() => got.length >= 20, "all events");
      assert.deepEqual(got, Array.from({ length: 20 }, (_, i) => i));
    });

    test("what the client emits while away is sent afterwards", async (t) => {
      const { target, proxy, client } = await prepare(t);
      const lost = next(client, "disconnect");
      proxy.cut();
      await lost;
      const answers = Promise.all([1, 2, 3].map((n) => client.emitWithAck("seq", "away", n)));
      proxy.mend();
      assert.deepEqual(await answers, [1, 2, 3]);
      assert.deepEqual(await target.ask("seq", "away"), [1, 2, 3]);
    });

    test("middleware is not asked again", async (t) => {
      const { target, proxy, client } = await prepare(t, "/csr");
      assert.equal((await target.ask("counters")).csrMiddleware, 1);
      await cutAndMiss(target, proxy, client, async () => {});
      assert.equal(client.recovered, true);
      assert.equal((await target.ask("counters")).csrMiddleware, 1);
    });

    test("not after the end that either side wanted", async (t) => {
      const { client } = await prepare(t);
      const { id } = client;
      client.disconnect();
      client.connect();
      await connected(client);
      assert.equal(client.recovered, false);
      assert.notEqual(client.id, id);
      client.emit("disconnect-me", false);
      await next(client, "disconnect");
      client.connect();
      await connected(client);
      assert.equal(client.recovered, false);
    });

    test("not when it took too long", async (t) => {
      const target = await Target.startFor(t, ...variant.flags, ...HEARTBEAT, "--csr", "300");
      const proxy = await Proxy.start(t, target);
      const client = await join(t, target, proxy, "/", variant.options);
      const { id } = client;
      const got = [];
      client.on("late", () => got.push("late"));
      await cutAndMiss(target, proxy, client, async () => {
        await emit(target, "late", []);
        await sleep(600);
      });
      assert.equal(client.recovered, false);
      assert.notEqual(client.id, id);
      await sleep(50);
      assert.deepEqual(got, []);
    });

    test("not from another process: the client is told so", async (t) => {
      const { target, client, proxy } = await prepare(t);
      const { id } = client;
      const lost = next(client, "disconnect");
      proxy.cut();
      await lost;
      await target.kill();
      await target.startAgain();
      const back = next(client, "connect");
      proxy.mend();
      await back;
      assert.equal(client.recovered, false);
      assert.notEqual(client.id, id);
    });
  });
}

describe("recovery, by hand", () => {
  test("CONNECT is answered with sid and pid, events carry an offset, missed ones come before the new CONNECT", async (t) => {
    const target = await Target.startFor(t, "--csr", "60000");
    const first = await RawSocket.open(target);
    await first.next();
    first.send("40");
    const reply = JSON.parse((await first.next()).slice(2));
    assert.deepEqual(Object.keys(reply), ["sid", "pid"]);
    assert.match(reply.pid, /^[\w-]{20}$/);
    assert.notEqual(reply.pid, reply.sid);
    first.send('42["echo",1]');
    const [event, one, offset] = JSON.parse((await first.next()).slice(2));
    assert.deepEqual([event, one, typeof offset], ["echo", 1, "string"]);
    first.send('427["ack",1]');
    assert.equal(await first.next(), "437[1]");
    first.ws.terminate();
    await target.disconnectOf(reply.sid);
    await target.ask("emit", { event: "missed", args: [1] });
    await target.ask("emit", { event: "missed", args: [2, Buffer.from([9])] });

    const second = await RawSocket.open(target);
    await second.next();
    second.send(`40${JSON.stringify({ pid: reply.pid, offset })}`);
    assert.deepEqual(JSON.parse((await second.next()).slice(2)).slice(0, 2), ["missed", 1]);
    assert.match(await second.next(), /^451-\["missed",2,\{"_placeholder":true,"num":0\},"[^"]+"\]$/);
    assert.deepEqual([...await second.next()], [9]);
    assert.deepEqual(JSON.parse((await second.next()).slice(2)), reply);
    second.ws.terminate();
  });

  test("false claims get a new session", async (t) => {
    const target = await Target.startFor(t, "--csr", "60000");
    for (const claim of [{ pid: "unknown", offset: "unknown" }, { pid: 1, offset: 2 }, { pid: "x" }, { offset: "x" }, { pid: null, offset: null }, { pid: {}, offset: [] }]) {
      const session = await PollSession.open(target);
      await session.send(`40${JSON.stringify(claim)}`);
      const [packet] = await session.poll();
      const reply = JSON.parse(packet.slice(2));
      assert.match(reply.sid, /^[\w-]{20}$/);
      assert.notEqual(reply.pid, claim.pid);
      await session.send("1");
    }
  });

  test("without the option there is no pid and no offset", async (t) => {
    const target = await Target.startFor(t);
    const socket = await RawSocket.open(target);
    await socket.next();
    socket.send('40{"pid":"x","offset":"y"}');
    assert.match(await socket.next(), /^40\{"sid":"[\w-]{20}"\}$/);
    socket.send('42["echo",1]');
    assert.equal(await socket.next(), '42["echo",1]');
    socket.ws.terminate();
  });
});
