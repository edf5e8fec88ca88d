// Engine.IO v3: the official client 2.5.0, alone and in one room with the current client.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import legacy from "socket.io-client-v2";
import { request } from "./lib/raw.mjs";
import { collect, next, plain, sleep, Target, until } from "./lib/target.mjs";

const VARIANTS = [
  { name: "2.5.0, polling", client: { transports: ["polling"] } },
  { name: "2.5.0, polling in base64", client: { transports: ["polling"], forceBase64: true } },
  { name: "2.5.0, websocket", client: { transports: ["websocket"] } },
  { name: "2.5.0, websocket in base64", client: { transports: ["websocket"], forceBase64: true } },
  { name: "2.5.0, polling then websocket", client: {}, upgrade: true },
];

for (const variant of VARIANTS) {
  describe(variant.name, () => {
    let target;
    const clients = [];
    const open = (nsp = "/", options = {}) => {
      const client = legacy(target.url + nsp, { forceNew: true, reconnection: false, ...variant.client, ...options });
      clients.push(client);
      return client;
    };
    const connect = async (nsp, options) => {
      const client = open(nsp, options);
      await next(client, "connect");
      if (variant.upgrade) await until(() => client.io.engine.transport.name === "websocket", "upgraded");
      return client;
    };
    const call = (client, event, ...args) => new Promise((resolve) => client.emit(event, ...args, (answer) => resolve(answer)));

    before(async () => { target = await Target.start("--eio3"); });
    after(async () => {
      for (const client of clients) client.close();
      await target.stop();
    });

    test("connects; the socket's id is the engine's", async () => {
      const client = await connect();
      assert.match(client.io.engine.id, /^[\w-]{20}$/);
      assert.deepEqual(await call(client, "rooms"), [client.io.engine.id]);
      const custom = client.io.socket("/custom");
      const [id] = await next(custom, "welcome");
      assert.equal(id, `/custom#${client.io.engine.id}`);
    });

    test("echoes text, unicode, nested values, binary", async () => {
      const client = await connect();
      for (const args of [
        [],
        ["text", 2, null, true, [], {}],
        ["é € 😀 ☃ \u2028", { ключ: ["значение"] }],
        [Buffer.from([0, 255, 30])],
        ["before", Buffer.from("abc"), { deep: [Buffer.from([1]), "x"] }],
      ]) {
        client.emit("echo", ...args);
        assert.deepEqual(plain(await next(client, "echo")), plain(args));
      }
    });

    test("big messages", async () => {
      const client = await connect();
      const text = "é😀x".repeat(30_000);
      client.emit("echo", text);
      assert.deepEqual(await next(client, "echo"), [text]);
      client.emit("bin", 50_000);
      const [{ bytes }] = plain(await next(client, "bin"));
      assert.equal(bytes.length, 50_000);
      assert.ok(bytes.every((byte, i) => byte === i % 256));
    });

    test("acknowledgements, both ways, with binary", async () => {
      const client = await connect();
      assert.equal(await call(client, "ack", "x"), "x");
      assert.deepEqual(plain(await call(client, "ack", { b: Buffer.from([7]) })), { b: { bytes: [7] } });
      client.on("question", (x, done) => done(x, Buffer.from([8])));
      client.emit("emit-with-ack", 1);
      assert.deepEqual(plain(await next(client, "answer")), [1, { bytes: [8] }]);
    });

    test("order, text mixed with binary", async () => {
      const client = await connect();
      const mixed = collect(client, "many", 100);
      client.emit("many-mixed", 100);
      assert.deepEqual((await mixed).map(([i]) => i), Array.from({ length: 100 }, (_, i) => i));
      const echoed = collect(client, "echo", 100);
      for (let i = 0; i < 100; i += 1) client.emit("echo", i, i % 3 ? "é" : Buffer.from([i]));
      assert.deepEqual((await echoed).map(([i]) => i), Array.from({ length: 100 }, (_, i) => i));
    });

    test("namespaces, with a query for credentials", async () => {
      const client = await connect();
      const custom = client.io.socket("/custom");
      await next(custom, "connect");
      custom.emit("echo", "c");
      assert.deepEqual(await next(custom, "echo"), ["c"]);
      const dynamic = client.io.socket("/dyn-5");
      await next(dynamic, "connect");
      assert.equal(await call(dynamic, "ack", 5), 5);
      const auth = open("/auth", { query: { token: "good", x: "a b" } });
      const [seen] = await next(auth, "auth");
      assert.equal(seen.token, "good");
      assert.equal(seen.x, "a b");
    });

    test("refusals carry the data, or the message", async () => {
      assert.deepEqual(await next(open("/deny"), "error"), [{ a: 1 }]);
      assert.deepEqual(await next(open("/auth", { query: { token: "bad" } }), "error"), [{ code: 401 }]);
      assert.deepEqual(await next(open("/auth", { query: { token: "plain" } }), "error"), ["unauthorized"]);
    });

    test("rooms and broadcasts", async () => {
      const [a, b] = await Promise.all([connect("/dyn-1"), connect("/dyn-1")]);
      await call(a, "join", "r");
      await call(b, "join", "r");
      a.emit("to-room", "r", 1, Buffer.from([1]));
      assert.deepEqual(plain(await next(b, "room")), [1, { bytes: [1] }]);
      const both = Promise.all([next(a, "room"), next(b, "room")]);
      b.emit("in-room", "r", 2);
      assert.deepEqual(await both, [[2], [2]]);
    });

    test("disconnects, from either side", async () => {
      const client = await connect();
      const { id } = client.io.engine;
      client.close();
      assert.equal((await target.disconnectOf(id)).reason, "client namespace disconnect");
      const kicked = await connect();
      const gone = kicked.io.engine.id;
      kicked.emit("disconnect-me", true);
      assert.equal((await next(kicked, "disconnect"))[0], "io server disconnect");
      assert.equal((await target.disconnectOf(gone)).reason, "server namespace disconnect");
    });

    test("in one room with current clients", async () => {
      const old = await connect("/dyn-9");
      const current = await Promise.all([["polling"], ["websocket"]].map((transports) => target.connect("/dyn-9", { transports })));
      const everybody = [old, ...current];
      for (const client of everybody) await call(client, "join", "mixed");
      for (const sender of everybody) {
        const got = Promise.all(everybody.map((client) => next(client, "room")));
        sender.emit("in-room", "mixed", "é", Buffer.from([1, 2]), { b: [Buffer.from([3])] });
        for (const args of await got) assert.deepEqual(plain(args), ["é", { bytes: [1, 2] }, { b: [{ bytes: [3] }] }]);
      }
      for (const client of everybody) client.on("poll", (x, done) => done(x));
      const [error, responses] = await new Promise((resolve) => old.emit("broadcast-ack", "mixed", 3000, 4, (...answer) => resolve(answer)));
      assert.deepEqual([error, responses], [null, [4, 4, 4]]);
    });
  });
}

describe("Engine.IO v3 heartbeat and switch", () => {
  test("the client pings, the server answers, and notices its silence", async (t) => {
    const target = await Target.startFor(t, "--eio3", "--ping-interval", "300", "--ping-timeout", "300");
    for (const transports of [["polling"], ["websocket"]]) {
      const client = legacy(target.url, { forceNew: true, reconnection: false, transports });
      await next(client, "connect");
      let pongs = 0;
      client.on("pong", () => { pongs += 1; });
      await sleep(1600);
      assert.equal(client.connected, true);
      assert.ok(pongs >= 3, `${pongs} pongs`);
      const { id } = client.io.engine;
      clearTimeout(client.io.engine.pingIntervalTimer);
      // The client would notice its own silence a moment later, or earlier.
      clearTimeout(client.io.engine.pingTimeoutTimer);
      client.io.engine.off("heartbeat");
      client.io.engine.ping = () => {};
      client.io.engine.setPing = () => {};
      assert.equal((await target.disconnectOf(id)).reason, "ping timeout");
      client.close();
    }
  });

  test("an old client is refused by default", async (t) => {
    const target = await Target.startFor(t);
    const client = legacy(target.url, { forceNew: true, reconnection: false });
    await next(client, "connect_error");
    client.close();
    assert.equal((await request(target, "GET", "/socket.io/?EIO=3&transport=polling")).status, 400);
  });
});
