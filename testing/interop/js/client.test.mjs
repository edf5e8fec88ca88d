// The official client, current version, through every transport, parser and extension: every row of CONTRACT.md.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { collect, connected, hangUp, next, plain, sleep, Target, until, upgraded } from "./lib/target.mjs";

const VARIANTS = [
  { name: "polling", flags: [], client: { transports: ["polling"] } },
  { name: "websocket", flags: [], client: { transports: ["websocket"] } },
  { name: "polling then websocket", flags: [], client: {}, upgrade: true },
  { name: "websocket with deflate", flags: ["--deflate"], client: { transports: ["websocket"], perMessageDeflate: { threshold: 0 } } },
  { name: "polling in base64", flags: [], client: { transports: ["polling"], forceBase64: true } },
  { name: "msgpack, polling", flags: ["--parser", "msgpack"], client: { transports: ["polling"] } },
  { name: "msgpack, websocket", flags: ["--parser", "msgpack"], client: { transports: ["websocket"] } },
  { name: "msgpack, polling then websocket", flags: ["--parser", "msgpack"], client: {}, upgrade: true },
];

const UNICODE = "é € 😀 \u2028 \u0000 \u001e ☃";
const NESTED = { a: [1, -0.5, 0.1, true, null, { b: "x" }], "": {}, ключ: [[], [[]]] };

for (const variant of VARIANTS) {
  describe(variant.name, () => {
    let target;
    const connect = async (nsp, options) => {
      const client = await target.connect(nsp, { ...variant.client, ...options });
      if (variant.upgrade) await upgraded(client);
      return client;
    };
    const call = (client, event, ...args) => client.timeout(5000).emitWithAck(event, ...args);

    before(async () => { target = await Target.start(...variant.flags); });
    after(() => target.stop());

    test("connects, with an id that differs from the engine's", async () => {
      const client = await connect();
      assert.match(client.id, /^[\w-]{20}$/);
      assert.notEqual(client.id, client.io.engine.id);
      assert.ok(!client.recovered);
    });

    test("echoes every kind of argument", async () => {
      const client = await connect();
      for (const args of [
        [],
        [1],
        ["text", 2, null, true, [], {}],
        [UNICODE, NESTED],
        [Buffer.from([0, 255, 30])],
        [Buffer.alloc(0)],
        ["before", Buffer.from("abc"), { deep: [Buffer.from([1]), "x", { b: Buffer.from([2, 3]) }] }],
        [{ _placeholder: "x" }],
        [Number.MAX_SAFE_INTEGER, -1, 0, 1.5, -128, 65536, 4294967296],
      ]) {
        client.emit("echo", ...args);
        assert.deepEqual(plain(await next(client, "echo")), plain(args));
      }
    });

    test("sends typed arrays and array buffers as binary", async () => {
      const client = await connect();
      client.emit("echo", new Uint8Array([1, 2, 3]), new Uint8Array([4, 5]).buffer);
      assert.deepEqual(plain(await next(client, "echo")), [{ bytes: [1, 2, 3] }, { bytes: [4, 5] }]);
    });

    test("carries big messages, text and binary, both ways", async () => {
      const client = await connect();
      const text = UNICODE.repeat(8000);
      client.emit("echo", text);
      assert.deepEqual(await next(client, "echo"), [text]);
      const binary = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
      client.emit("echo", binary, "end");
      assert.deepEqual(plain(await next(client, "echo")), plain([binary, "end"]));
      client.emit("bin", 100_000);
      const [got] = await next(client, "bin");
      assert.equal(got.length, 100_000);
      assert.ok(got.every((byte, i) => byte === i % 256));
    });

    test("message, numeric event names", async () => {
      const client = await connect();
      client.send("hi", 1);
      assert.deepEqual(await next(client, "message"), ["hi", 1]);
      client.emit(1, "x");
      assert.deepEqual(await next(client, "numeric"), ["x"]);
      client.emit("1", "y");
      assert.deepEqual(await next(client, "numeric"), ["y"]);
    });

    test("the server acknowledges, with any number of arguments", async () => {
      const client = await connect();
      const ack = (...args) => new Promise((resolve) => client.emit("ack", ...args, (...answer) => resolve(plain(answer))));
      assert.deepEqual(await ack(), []);
      assert.deepEqual(await ack(1, "2", NESTED), [1, "2", NESTED]);
      assert.deepEqual(await ack(Buffer.from([9, 8]), { b: Buffer.from("z") }), plain([Buffer.from([9, 8]), { b: Buffer.from("z") }]));
      assert.equal(await client.emitWithAck("ack", "promise"), "promise");
    });

    test("an acknowledgement that never comes times out at the client", async () => {
      const client = await connect();
      await assert.rejects(client.timeout(100).emitWithAck("noack"), /operation has timed out/);
      assert.equal(await call(client, "ack", "still there"), "still there");
    });

    test("a slow handler does not hold up the next event", async () => {
      const client = await connect();
      const order = [];
      await Promise.all([
        call(client, "slow", 300, "a").then((x) => order.push(x)),
        call(client, "slow", 50, "b").then((x) => order.push(x)),
        call(client, "ack", "c").then((x) => order.push(x)),
      ]);
      assert.deepEqual(order, ["c", "b", "a"]);
    });

    test("the client acknowledges the server", async () => {
      const client = await connect();
      client.on("question", (...args) => {
        const done = args.pop();
        done(...args, "answered");
      });
      client.emit("emit-with-ack", 1, Buffer.from([7]));
      assert.deepEqual(plain(await next(client, "answer")), [1, { bytes: [7] }, "answered"]);
    });

    test("a server's acknowledgement timeout", async () => {
      const client = await connect();
      let answer = true;
      client.on("question", (x, done) => { if (answer) done(x + 1); else setTimeout(done, 300, "late"); });
      client.emit("timeout-ack", 2000, 1);
      assert.deepEqual(await next(client, "timeout-result"), ["answered", 2]);
      answer = false;
      client.emit("timeout-ack", 100, 1);
      assert.deepEqual(await next(client, "timeout-result"), ["timeout"]);
      await sleep(300);
      assert.equal(await call(client, "ack", "the late answer did no harm"), "the late answer did no harm");
    });

    test("keeps order, and mixes text with binary", async () => {
      const client = await connect();
      const numbers = Array.from({ length: 500 }, (_, i) => i);
      const many = collect(client, "many", 500);
      client.emit("many", 500);
      assert.deepEqual((await many).map(([i]) => i), numbers);
      const mixed = collect(client, "many", 200);
      client.emit("many-mixed", 200);
      (await mixed).forEach(([i, data], at) => {
        assert.equal(i, at);
        if (at % 2) assert.deepEqual([...data], Array.from({ length: at % 50 }, (_, k) => k));
        else assert.equal(data, undefined);
      });
      const echoed = collect(client, "echo", 300);
      for (let i = 0; i < 300; i += 1) client.emit("echo", i, i % 3 ? "text" : Buffer.from([i % 256]));
      assert.deepEqual((await echoed).map(([i]) => i), numbers.slice(0, 300));
    });

    test("namespaces: fixed, by pattern, by function, unknown, on one connection", async () => {
      const main = await connect();
      const sid = main.io.engine.id;
      for (const nsp of ["/custom", "/dyn-7", "/dyn-0042", "/fn-any"]) {
        const socket = main.io.socket(nsp, { auth: {} });
        await connected(socket);
        assert.equal(socket.io.engine.id, sid);
        socket.emit("echo", nsp);
        assert.deepEqual(await next(socket, "echo"), [nsp]);
        assert.notEqual(socket.id, main.id);
      }
      for (const nsp of ["/unknown", "/dyn-", "/dyn-7x", "/xdyn-7"]) {
        const [error] = await next(main.io.socket(nsp), "connect_error");
        assert.equal(error.message, "Invalid namespace");
        assert.equal(error.data, undefined);
      }
      const [refused] = await next(main.io.socket("/fn-no", { auth: { ok: false } }), "connect_error");
      assert.equal(refused.message, "Invalid namespace");
      main.emit("echo", "main");
      assert.deepEqual(await next(main, "echo"), ["main"]);
    });

    test("events emitted on connection arrive", async () => {
      const client = target.client("/custom", variant.client);
      const [id] = await next(client, "welcome");
      assert.equal(id, client.id);
    });

    test("leaving one namespace leaves the others", async () => {
      const main = await connect();
      const custom = main.io.socket("/custom");
      await connected(custom);
      const { id } = custom;
      custom.disconnect();
      assert.equal((await target.disconnectOf(id)).reason, "client namespace disconnect");
      assert.equal(await call(main, "ack", "here"), "here");
      custom.connect();
      await connected(custom);
      assert.notEqual(custom.id, id);
      assert.equal(await call(custom, "ack", "again"), "again");
    });

    test("middleware refuses with and without data", async () => {
      const [denied] = await next(target.client("/deny", variant.client), "connect_error");
      assert.deepEqual([denied.message, denied.data], ["nope", { a: 1 }]);
      const [bad] = await next(target.client("/auth", { ...variant.client, auth: { token: "bad" } }), "connect_error");
      assert.deepEqual([bad.message, bad.data], ["unauthorized", { code: 401 }]);
      const [plainly] = await next(target.client("/auth", { ...variant.client, auth: { token: "plain" } }), "connect_error");
      assert.deepEqual([plainly.message, plainly.data], ["unauthorized", undefined]);
    });

    test("a refused client can come again with other credentials", async () => {
      const client = target.client("/auth", { ...variant.client, auth: { token: "bad" } });
      await next(client, "connect_error");
      client.auth = { token: "good" };
      client.connect();
      await connected(client);
      assert.equal(await call(client, "ack", 1), 1);
    });

    test("connects twice within a turn, as a page does that renders twice", async () => {
      const main = await connect();
      const id = main.id;
      // The middleware still decides on the first when the second comes; the client says nothing of the disconnect.
      const twice = main.io.socket("/auth", { auth: { token: "bad" } });
      twice.disconnect();
      twice.auth = { token: "good" };
      const seen = next(twice, "auth");
      twice.connect();
      assert.deepEqual(await seen, [{ token: "good" }]);
      assert.equal(await call(main, "ack", "here"), "here");
      assert.equal(main.id, id);
    });

    // In the client's MessagePack, notepack.io makes another character of it before it is sent.
    if (!variant.flags.includes("msgpack")) test("half of a surrogate pair is text, in auth too", async () => {
      const half = "Zoë 🎉".slice(0, -1);
      const client = target.client("/auth", { ...variant.client, auth: { token: half } });
      const [seen] = await next(client, "auth");
      assert.equal(seen.token.toWellFormed(), half.toWellFormed());
      assert.equal((await call(client, "ack", half)).toWellFormed(), half.toWellFormed());
    });

    test("auth and handshake reach the handlers", async () => {
      const auth = { token: "t", nested: { list: [1, null, "é"] } };
      const client = target.client("/auth", { ...variant.client, auth, query: { color: "dark blue" }, extraHeaders: { "X-Interop": "yes" } });
      const [seen] = await next(client, "auth");
      assert.deepEqual(seen, auth);
      const handshake = await call(client, "handshake");
      assert.deepEqual(handshake.auth, auth);
      assert.equal(handshake.query.color, "dark blue");
      assert.equal(handshake.query.EIO, "4");
      assert.equal(handshake.header, "yes");
      assert.match(handshake.url, /^\/socket\.io\/\?/);
      assert.deepEqual([handshake.secure, handshake.xdomain], [false, false]);
      assert.match(handshake.address, /127\.0\.0\.1$/);
      assert.ok(Math.abs(handshake.issued - Date.now()) < 60_000);
      assert.ok(!Number.isNaN(Date.parse(handshake.time)));
    });

    test("auth by function, and none at all", async () => {
      const client = target.client("/auth", { ...variant.client, auth: (done) => setTimeout(done, 10, { by: "function" }) });
      assert.deepEqual(await next(client, "auth"), [{ by: "function" }]);
      const none = target.client("/auth", variant.client);
      assert.deepEqual(await next(none, "auth"), [{}]);
    });

    test("rooms: join, leave, rooms, fetch", async () => {
      const client = await connect();
      assert.deepEqual(await call(client, "rooms"), [client.id]);
      await client.emitWithAck("join", "one");
      await client.emitWithAck("join", ["two", "three"]);
      assert.deepEqual(await call(client, "rooms"), [client.id, "one", "two", "three"].sort());
      await client.emitWithAck("leave", "two");
      await client.emitWithAck("leave", "never joined");
      assert.deepEqual(await call(client, "rooms"), [client.id, "one", "three"].sort());
      await client.emitWithAck("set-data", { name: "x", list: [1] });
      assert.deepEqual(await call(client, "get-data"), { name: "x", list: [1] });
      const found = await call(client, "fetch", client.id);
      assert.deepEqual(found, [{ id: client.id, rooms: [client.id, "one", "three"].sort(), data: { name: "x", list: [1] } }]);
      assert.deepEqual(await call(client, "fetch", "empty room"), []);
    });

    test("broadcasts reach whom they should, once", async () => {
      const nsp = "/dyn-100";
      const [a, b, c] = await Promise.all([connect(nsp), connect(nsp), connect(nsp)]);
      await connect("/dyn-101").then((other) => other.onAny(() => assert.fail("another namespace got it")));
      const got = { a: [], b: [], c: [] };
      Object.entries({ a, b, c }).forEach(([name, socket]) => {
        socket.onAny((event, ...args) => got[name].push([event, ...args.map(plain)]));
      });
      await a.emitWithAck("join", ["r1", "r2"]);
      await b.emitWithAck("join", ["r1", "r2"]);
      await c.emitWithAck("join", ["r2"]);
      const bytes = Buffer.from([1, 2]);
      a.emit("broadcast", 1, bytes);
      a.emit("all", 2);
      a.emit("to-room", "r1", 3);
      a.emit("to-room", ["r1", "r2"], 4);
      a.emit("in-room", ["r1", "r2"], 5);
      a.emit("in-room", "no such room", 6);
      a.emit("except", "r1", 7);
      a.emit("to-except", "r2", "r1", 8);
      a.emit("to-except", "r2", ["r1", c.id], 9);
      a.emit("in-room", b.id, 10);
      a.emit("all", 11);
      const binary = { bytes: [1, 2] };
      const expected = {
        a: [["all", 2], ["room", 5], ["all", 11]],
        b: [["broadcast", 1, binary], ["all", 2], ["room", 3], ["room", 4], ["room", 5], ["room", 10], ["all", 11]],
        c: [["broadcast", 1, binary], ["all", 2], ["room", 4], ["room", 5], ["except", 7], ["room", 8], ["all", 11]],
      };
      await until(() => ["a", "b", "c"].every((name) => got[name].some(([, n]) => n === 11)), "the last broadcast");
      assert.deepEqual(got, expected);
    });

    test("a broadcast with acknowledgements collects the answers", async () => {
      const nsp = "/dyn-200";
      const [a, b, silent] = await Promise.all([connect(nsp), connect(nsp), connect(nsp)]);
      a.on("poll", (x, done) => done({ from: "a", x }));
      b.on("poll", (x, done) => done({ from: "b", x: Buffer.from([x]) }));
      await a.emitWithAck("join", "voters");
      await b.emitWithAck("join", "voters");
      const ask = (room, ms) => new Promise((resolve) => a.emit("broadcast-ack", room, ms, 5, (error, list) => resolve([error, plain(list)])));
      const byName = (list) => list.sort((x, y) => (x.from < y.from ? -1 : 1));
      const [error, responses] = await ask("voters", 3000);
      assert.equal(error, null);
      assert.deepEqual(byName(responses), [{ from: "a", x: 5 }, { from: "b", x: { bytes: [5] } }]);
      await silent.emitWithAck("join", "voters");
      const [late, partial] = await ask("voters", 300);
      assert.equal(late, "timeout");
      assert.deepEqual(byName(partial).map((response) => response.from), ["a", "b"]);
      assert.deepEqual(await ask("nobody", 1000), [null, []]);
    });

    test("socketsJoin, socketsLeave, disconnectSockets", async () => {
      const nsp = "/dyn-300";
      const [a, b] = await Promise.all([connect(nsp), connect(nsp)]);
      await a.emitWithAck("sockets-join", [a.id, b.id], ["x", "y"]);
      assert.deepEqual(await call(b, "rooms"), [b.id, "x", "y"].sort());
      await a.emitWithAck("sockets-leave", "x", "y");
      assert.deepEqual(await call(b, "rooms"), [b.id, "x"].sort());
      const { id } = b;
      a.emit("disconnect-room", id, false);
      assert.equal((await next(b, "disconnect"))[0], "io server disconnect");
      const entry = await target.disconnectOf(id);
      assert.deepEqual([entry.reason, entry.rooms], ["server namespace disconnect", [id, "x"].sort()]);
      assert.equal(await target.ask("room-size", nsp, "x"), 1);
      assert.equal(await target.ask("room-size", nsp, id), 0);
    });

    test("the server disconnects one namespace, or the connection", async () => {
      const main = await connect();
      const custom = main.io.socket("/custom");
      await connected(custom);
      custom.emit("disconnect-me", false);
      assert.equal((await next(custom, "disconnect"))[0], "io server disconnect");
      assert.equal(main.connected, true);
      assert.equal(await call(main, "ack", 1), 1);
      custom.connect();
      await connected(custom);
      const ids = [main.id, custom.id];
      const both = Promise.all([next(main, "disconnect"), next(custom, "disconnect")]);
      main.emit("disconnect-me", true);
      for (const [reason] of await both) assert.equal(reason, "io server disconnect");
      for (const id of ids) assert.equal((await target.disconnectOf(id)).reason, "server namespace disconnect");
    });

    test("the client's end is told with its reason", async () => {
      const polite = await connect();
      const { id } = polite;
      await polite.emitWithAck("join", "r");
      polite.disconnect();
      const entry = await target.disconnectOf(id);
      assert.deepEqual([entry.reason, entry.nsp, entry.rooms], ["client namespace disconnect", "/", [id, "r"].sort()]);
      const abrupt = await connect();
      const gone = abrupt.id;
      abrupt.io.engine.close();
      const { reason } = await target.disconnectOf(gone);
      assert.ok(["transport close", "transport error"].includes(reason), reason);
    });

    test("volatile and compress flags change nothing for a writable connection", async () => {
      const client = await connect();
      client.emit("compress", true, "x".repeat(5000));
      assert.deepEqual(await next(client, "compress"), ["x".repeat(5000)]);
      client.emit("compress", false, "y".repeat(5000), Buffer.from([1]));
      assert.deepEqual(plain(await next(client, "compress")), ["y".repeat(5000), { bytes: [1] }]);
      await sleep(100);
      // A volatile event is lost while a polling client has no request open, so it may take some tries.
      const listener = next(client, "volatile");
      let tries = 0;
      await until(async () => {
        client.emit("volatile", 1, Buffer.from([2]));
        tries += 1;
        return Promise.race([listener, sleep(100)]);
      }, "a volatile event");
      assert.deepEqual(plain(await listener), [1, { bytes: [2] }]);
      assert.ok(tries < 20);
    });

    test("volatile events of the client are handled", async () => {
      const client = await connect();
      await until(() => client.io.engine.transport.writable, "writable");
      client.volatile.emit("echo", "v");
      assert.deepEqual(await next(client, "echo"), ["v"]);
    });

    test("an event middleware refuses, and the socket lives on", async () => {
      const client = await connect();
      client.emit("forbidden", 1);
      assert.deepEqual(await next(client, "refused"), ["forbidden event"]);
      assert.equal(await call(client, "ack", 1), 1);
    });

    test("the server's catch-all listeners count, reserved names are refused", async () => {
      const client = await connect();
      const first = await call(client, "counts");
      assert.deepEqual(first, { any: 1, outgoing: 0 });
      client.emit("echo", 1);
      await next(client, "echo");
      client.emit("unknown event", 1);
      assert.deepEqual(await call(client, "counts"), { any: 4, outgoing: 1 });
      assert.equal(await call(client, "reserved"), "refused");
    });

    test("an event nobody handles, or named error, does no harm", async () => {
      const client = await connect();
      client.emit("nobody handles this", 1, () => assert.fail("acknowledged"));
      client.emit("error", "x");
      client.emit("error");
      for (const name of ["__proto__", "constructor", "toString", "", "hasOwnProperty"]) client.emit(name, 1);
      assert.equal(await call(client, "ack", "fine"), "fine");
    });

    test("emits made before the connection are kept and sent in order", async () => {
      const client = target.client("/", variant.client);
      const echoed = collect(client, "echo", 20);
      for (let i = 0; i < 20; i += 1) client.emit("echo", i, i % 2 ? Buffer.from([i]) : null);
      assert.deepEqual((await echoed).map(([i]) => i), Array.from({ length: 20 }, (_, i) => i));
    });

    test("many clients in many rooms", async () => {
      const nsp = "/dyn-400";
      const clients = await Promise.all(Array.from({ length: 30 }, () => connect(nsp)));
      await Promise.all(clients.map((client, i) => client.emitWithAck("join", [`room ${i % 3}`, "all"])));
      const sums = clients.map((client) => collect(client, "room", 20));
      for (let i = 0; i < 10; i += 1) {
        for (let room = 0; room < 3; room += 1) clients[0].emit("in-room", `room ${room}`, i);
        clients[0].emit("in-room", "all", `all ${i}`);
      }
      for (const got of await Promise.all(sums)) {
        assert.deepEqual(got.flat(), Array.from({ length: 10 }, (_, i) => [i, `all ${i}`]).flat());
      }
      const ids = await call(clients[0], "fetch", "all");
      assert.deepEqual(ids.map(({ id }) => id).sort(), clients.map(({ id }) => id).sort());
    });

    test("nothing is left when all have gone", async () => {
      for (const client of target.clients) if (client !== target.control) hangUp(client);
      await until(async () => (await target.ask("counters")).engineClients === 1, "sessions are left", 8000);
      for (const room of ["voters", "room 1", "all"]) {
        for (const nsp of ["/", "/dyn-200", "/dyn-400"]) assert.equal(await target.ask("room-size", nsp, room), 0);
      }
    });
  });
}
