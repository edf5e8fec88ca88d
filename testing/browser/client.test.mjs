// sockeye.js in Node against the official server. Every scenario also runs with the official client, which shows that what
// is asked of ours is what applications are used to.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io as officialIo } from "socket.io-client";
import WebSocket from "ws";
import "../../crates/server/assets/sockeye.js";
import { eventually, sleep, startProxy, startServer } from "./support.mjs";

const CLIENTS = {
  "sockeye.js": (url, opts) => globalThis.io(url, { WebSocket, ...opts }),
  "socket.io-client": officialIo,
};
const QUICK = { reconnectionDelay: 50, reconnectionDelayMax: 200 };

for (const [client, create] of Object.entries(CLIENTS)) {
  describe(client, () => {
    let server;
    const open = new Set();

    const connect = (path = "/test", opts = {}) => {
      const socket = create((opts.url ?? server.url) + path, { forceNew: true, ...QUICK, ...opts });
      open.add(socket);
      return socket;
    };
    const connected = async (...args) => {
      const socket = connect(...args);
      await event(socket, "connect");
      return socket;
    };

    before(async () => (server = await startServer({ kind: "reference" })));
    after(async () => {
      for (const socket of open) socket.disconnect();
      await server.stop();
    });

    for (const transport of ["polling", "websocket"]) {
      describe(transport, () => {
        const opts = { transports: [transport] };

        test("connects and says over what", async () => {
          const socket = await connected("/test", opts);
          assert.match(socket.id, /^[\w-]{20}$/);
          assert.equal(socket.connected, true);
          assert.equal(socket.disconnected, false);
          assert.equal(socket.recovered, false);
          assert.equal(socket.io.engine.transport.name, transport);
        });

        test("carries any JSON, in order", async () => {
          const socket = await connected("/test", opts);
          const values = [1, "zwölf 🐟 \u2028\x1e", null, true, [], {}, { a: [{ b: "c" }], __proto__x: 1 }, new Date(0)];
          const received = [];
          socket.on("echo", (value) => received.push(value));
          for (const value of values) socket.emit("echo", value);
          await eventually(() => received.length === values.length, "all values");
          assert.deepEqual(received, JSON.parse(JSON.stringify(values)));
        });

        test("carries binary both ways", async () => {
          const socket = await connected("/test", opts);
          const bytes = Uint8Array.from({ length: 70000 }, (_, i) => i * 7);
          const whole = bytes.buffer;
          const part = new Uint8Array(whole, 3, 10);
          const reply = event(socket, "echo");
          // the official client sends blobs from browsers only
          const deep = client === "sockeye.js" ? [part, new Blob([part])] : [part, part];
          socket.emit("echo", { whole, deep, text: "x" }, Buffer.from("abc"));
          const [value, buffer] = await reply;
          assert.deepEqual(contents(value.whole), bytes);
          assert.deepEqual(contents(value.deep[0]), part);
          assert.deepEqual(contents(value.deep[1]), part);
          assert.equal(value.text, "x");
          assert.deepEqual(contents(buffer), Uint8Array.from([97, 98, 99]));
        });

        test("acknowledges both ways, binary too", async () => {
          const socket = await connected("/test", opts);
          assert.deepEqual(await new Promise((resolve) => socket.emit("ack", 1, { a: 2 }, (...args) => resolve(args))), [1, { a: 2 }]);
          assert.equal(await socket.emitWithAck("ack", "one"), "one");
          assert.deepEqual(contents(await socket.emitWithAck("ack", Uint8Array.of(1, 2))), Uint8Array.of(1, 2));
          socket.on("question", (value, answer) => answer(value + 1, Uint8Array.of(9)));
          const answer = await new Promise((resolve) => socket.emit("ask", 41, (...args) => resolve(args)));
          assert.equal(answer[0], 42);
          assert.deepEqual(contents(answer[1]), Uint8Array.of(9));
        });

        test("sends a large payload, and many at once", async () => {
          const socket = await connected("/test", opts);
          const large = "ä".repeat(300000);
          assert.equal(await socket.timeout(5000).emitWithAck("ack", large), large);
          const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(100000 / String(i).length));
          assert.deepEqual(await Promise.all(texts.map((text) => socket.timeout(5000).emitWithAck("ack", text))), texts);
        });

        test("is told when the server disconnects, and stays away", async () => {
          const socket = await connected("/test", opts);
          socket.emit("leave");
          assert.equal((await event(socket, "disconnect"))[0], "io server disconnect");
          assert.equal(socket.connected, false);
          assert.equal(socket.id, undefined);
          await sleep(300);
          assert.equal(socket.connected, false);
          socket.connect();
          await event(socket, "connect");
        });

        test("comes back when the connection is cut", async () => {
          const socket = await connected("/test", opts);
          const seen = [];
          socket.io.on("reconnect_attempt", (attempt) => seen.push(`attempt ${attempt}`));
          socket.io.on("reconnect", (attempt) => seen.push(`reconnect ${attempt}`));
          socket.emit("cut");
          const [reason] = await event(socket, "disconnect");
          assert.equal(reason, "transport close");
          await event(socket, "connect");
          assert.deepEqual(seen, ["attempt 1", "reconnect 1"]);
        });

        test("disconnects on request, and connects again", async () => {
          const socket = await connected("/test", opts);
          const reason = event(socket, "disconnect");
          socket.disconnect();
          assert.equal((await reason)[0], "io client disconnect");
          socket.emit("echo", "kept while away");
          const reply = event(socket, "echo");
          socket.connect();
          assert.equal((await reply)[0], "kept while away");
        });

        test("notices a silent server", async () => {
          const other = await startServer({ kind: "reference", env: { PING_INTERVAL: "200", PING_TIMEOUT: "200" } });
          const proxy = await startProxy(other);
          const socket = await connected("/test", { ...opts, url: proxy.url });
          await sleep(700);
          assert.equal(socket.connected, true);
          proxy.freeze(true);
          assert.equal((await event(socket, "disconnect"))[0], "ping timeout");
          socket.disconnect();
          await proxy.stop();
          await other.stop();
        });
      });
    }

    test("upgrades from polling without losing or reordering anything", async () => {
      const socket = connect();
      const received = [];
      socket.on("echo", (n) => received.push(n));
      assert.equal(socket.io.engine.transport.name, "polling");
      const upgraded = new Promise((resolve) => socket.io.engine.on("upgrade", resolve));
      for (let n = 0; n < 300; n++) {
        socket.emit("echo", n);
        if (n % 10 === 0) await sleep(2);
      }
      assert.equal((await upgraded).name, "websocket");
      await eventually(() => received.length === 300, "all echoes");
      assert.deepEqual(received, Array.from({ length: 300 }, (_, n) => n));
    });

    test("stays on polling when told so", async () => {
      const socket = await connected("/test", { upgrade: false });
      await sleep(300);
      assert.equal(socket.io.engine.transport.name, "polling");
      assert.equal(await socket.emitWithAck("ack", 1), 1);
    });

    test("shares one connection between namespaces", async () => {
      const opts = { forceNew: false, path: "/socket.io", auth: { name: "Ada" } };
      const first = await connected("/", opts);
      const second = await connected("/test", opts);
      const again = await connected("/test", opts);
      assert.equal(first.io, second.io);
      assert.notEqual(again.io, second.io);
      assert.notEqual(first.id, second.id);
      assert.equal(await second.emitWithAck("ack", 1), 1);
      second.disconnect();
      assert.equal(first.connected, true);
      assert.deepEqual(await first.emitWithAck("join", { room: "r" }), { ok: true });
      first.disconnect();
      again.disconnect();
    });

    test("sends auth and query, from an object or a function", async () => {
      const fixed = await connected("/test?a=1", { auth: { token: "t" } });
      const both = (socket) => new Promise((resolve) => socket.emit("auth", (auth, query) => resolve([auth, query.a])));
      assert.deepEqual(await both(fixed), [{ token: "t" }, "1"]);
      let calls = 0;
      const made = await connected("/test", { auth: (answer) => answer({ token: ++calls }), query: { a: "b c&d" } });
      assert.deepEqual(await both(made), [{ token: 1 }, "b c&d"]);
    });

    test("is refused by a middleware, with its data, and does not try again", async () => {
      const socket = connect("/denied");
      const [error] = await event(socket, "connect_error");
      assert.equal(error.message, "not allowed");
      assert.deepEqual(error.data, { code: 42 });
      assert.equal(socket.active, false);
      const missing = connect("/missing");
      assert.equal((await event(missing, "connect_error"))[0].message, "Invalid namespace");
    });

    for (const [transport, message] of [["polling", "xhr poll error"], ["websocket", "websocket error"]]) {
      test(`reports a server that is not there: ${transport}`, async () => {
        const socket = connect("/test", { url: "http://127.0.0.1:22099", transports: [transport], reconnectionAttempts: 2 });
        const errors = [];
        socket.on("connect_error", (error) => errors.push(error.message));
        await new Promise((resolve) => socket.io.on("reconnect_failed", resolve));
        assert.deepEqual(errors, [message, message, message]);
        assert.equal(socket.active, true);
      });
    }

    test("connects again by hand when it is not to do so by itself", async () => {
      const socket = await connected("/test", { reconnection: false });
      socket.emit("cut");
      await event(socket, "disconnect");
      await sleep(300);
      assert.equal(socket.connected, false);
      socket.connect();
      await event(socket, "connect");
      assert.equal(await socket.emitWithAck("ack", 1), 1);
    });

    test("gives up a connection attempt after the timeout", async () => {
      const proxy = await startProxy(server);
      proxy.freeze(true);
      const socket = connect("/test", { url: proxy.url, timeout: 100, reconnection: false });
      assert.equal((await event(socket, "connect_error"))[0].message, "timeout");
      await proxy.stop();
    });

    test("times out acknowledgements, also of what was never sent", async () => {
      const socket = await connected();
      await assert.rejects(socket.timeout(50).emitWithAck("nobody answers"), /operation has timed out/);
      assert.equal(await socket.timeout(1000).emitWithAck("ack", 7), 7);
      socket.disconnect();
      await assert.rejects(socket.timeout(50).emitWithAck("ack", 1), /operation has timed out/);
      socket.connect();
      const received = [];
      socket.on("echo", (value) => received.push(value));
      socket.emit("echo", "end");
      await eventually(() => received.length, "the echo");
      assert.deepEqual(received, ["end"]);
    });

    test("fails pending acknowledgements when the connection ends", async () => {
      const socket = await connected();
      const pending = socket.emitWithAck("nobody answers");
      const rejected = assert.rejects(pending, /socket has been disconnected/);
      socket.disconnect();
      await rejected;
    });

    test("keeps emits while away but not volatile ones", async () => {
      const socket = connect("/test", { autoConnect: false });
      const received = [];
      socket.on("echo", (value) => received.push(value));
      socket.volatile.emit("echo", "dropped");
      socket.emit("echo", "kept");
      socket.connect();
      await event(socket, "connect");
      await eventually(() => received.length, "the echo");
      socket.emit("echo", "end");
      await eventually(() => received.includes("end"), "the end");
      assert.deepEqual(received, ["kept", "end"]);
    });

    test("removes listeners, and calls one-time and catch-all listeners", async () => {
      const socket = await connected();
      const calls = [];
      const gone = () => calls.push("gone");
      socket.once("echo", (n) => calls.push(`once ${n}`));
      socket.on("echo", gone);
      socket.off("echo", gone);
      socket.onAny((name, n) => calls.push(`any ${name} ${n}`));
      socket.emit("echo", 1);
      socket.emit("echo", 2);
      await eventually(() => calls.length === 3, "the calls");
      assert.deepEqual(calls, ["any echo 1", "once 1", "any echo 2"]);
      assert.throws(() => socket.emit("connect"), /reserved event name/);
    });

    for (const transport of ["polling", "websocket"]) {
      test(`recovers what was sent during a drop: ${transport}`, async () => {
        const proxy = await startProxy(server);
        const socket = await connected("/test", { url: proxy.url, transports: [transport] });
        const sender = await connected();
        const received = [];
        socket.on("all", (value) => received.push(contents(value)));
        sender.emit("all", "before");
        await eventually(() => received.length === 1, "the first event");
        const id = socket.id;
        // the reference server can recover a session only once it has noticed the drop, and over polling it notices by the
        // pending GET: let that arrive, and let its end be seen before anything is written to it
        await sleep(100);
        const cut = proxy.cut(400);
        await event(socket, "disconnect");
        await sleep(100);
        for (const value of ["during 1", Uint8Array.of(1, 2, 3), "during 3"]) sender.emit("all", value);
        await cut;
        await event(socket, "connect");
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        sender.emit("all", "after");
        await eventually(() => received.length === 5, "the missed events");
        assert.deepEqual(received, ["before", "during 1", Uint8Array.of(1, 2, 3), "during 3", "after"]);
        socket.disconnect();
        await proxy.stop();
      });
    }

    test("knows that a restarted server has forgotten it", async () => {
      const other = await startServer({ kind: "reference" });
      const socket = await connected("/test", { url: other.url });
      socket.emit("all", 1);
      await event(socket, "all");
      const id = socket.id;
      const back = event(socket, "disconnect").then(() => event(socket, "connect"));
      await other.restart();
      await back;
      assert.equal(socket.recovered, false);
      assert.notEqual(socket.id, id);
      socket.disconnect();
      await other.stop();
    });
  });
}

/** The arguments of the next such event. */
function event(socket, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name} within 8 s`)), 8000);
    socket.once(name, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

/** Binary of whatever kind as a plain Uint8Array; anything else as it is. */
function contents(value) {
  if (ArrayBuffer.isView(value)) return Uint8Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
}
