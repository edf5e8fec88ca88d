// Engine.IO below Socket.IO: the official engine client, heartbeats, upgrades and packets by hand.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Fetch, NodeWebSocket, NodeXHR, Socket as Engine } from "engine.io-client";
import { PollSession, RawSocket, frame, rawBytes, upgradeRequest } from "./lib/raw.mjs";
import { collect, connected, next, sleep, Target, until, within } from "./lib/target.mjs";

describe("the official engine client", () => {
  let target;
  before(async () => { target = await Target.start(); });
  after(() => target.stop());

  const variants = [
    ["polling", { transports: ["polling"] }],
    ["polling by fetch", { transports: [Fetch] }],
    ["websocket", { transports: ["websocket"] }],
    ["polling then websocket", {}, "websocket"],
    ["fetch then websocket", { transports: [Fetch, NodeWebSocket] }, "websocket"],
    ["websocket first, polling second", { transports: ["websocket", "polling"] }],
    ["all given transports tried", { transports: [NodeXHR, NodeWebSocket], tryAllTransports: true }, "websocket"],
  ];
  for (const [name, options, final] of variants) {
    test(name, async () => {
      const engine = new Engine(target.url, { path: "/socket.io", ...options });
      await next(engine, "open");
      assert.match(engine.id, /^[\w-]{20}$/);
      if (final) {
        await next(engine, "upgrade");
        assert.equal(engine.transport.name, final);
      }
      engine.send("0");
      assert.match((await next(engine, "message"))[0], /^0\{"sid":"[\w-]{20}"\}$/);
      const answers = collect(engine, "message", 4);
      engine.send('2["echo","é😀"]');
      engine.send('51-["echo",{"_placeholder":true,"num":0}]');
      engine.send(new Uint8Array([0, 1, 255]));
      engine.send('27["ack",1]');
      const got = (await answers).map(([message]) => message);
      assert.deepEqual([got[0], got[1], got[3]], ['2["echo","é😀"]', '51-["echo",{"_placeholder":true,"num":0}]', "37[1]"]);
      assert.deepEqual([...new Uint8Array(got[2].buffer ?? got[2], got[2].byteOffset ?? 0, 3)], [0, 1, 255]);
      engine.close();
      await until(() => engine.readyState === "closed", "not closed");
    });
  }

  test("the client packs what it posts up to the server's limit", async (t) => {
    const small = await Target.startFor(t, "--max-payload", "2000");
    const client = await small.connect("/", { transports: ["polling"] });
    const echoed = collect(client, "echo", 100);
    for (let i = 0; i < 100; i += 1) client.emit("echo", i, "x".repeat(300));
    assert.deepEqual((await echoed).map(([i]) => i), Array.from({ length: 100 }, (_, i) => i));
  });

  test("a client by fetch, in Socket.IO", async () => {
    const client = await target.connect("/", { transports: [Fetch] });
    client.emit("echo", Buffer.from([1]), "x");
    const [bytes, text] = await next(client, "echo");
    assert.deepEqual([[...new Uint8Array(bytes)], text], [[1], "x"]);
  });
});

describe("heartbeat", () => {
  let target;
  before(async () => { target = await Target.start("--ping-interval", "300", "--ping-timeout", "300"); });
  after(() => target.stop());

  test("over WebSocket: a ping each interval after the last pong", async () => {
    const socket = await RawSocket.open(target);
    await socket.join();
    const times = [];
    for (let i = 0; i < 4; i += 1) {
      assert.equal(await socket.next(), "2");
      times.push(Date.now());
      await sleep(100);
      socket.send("3");
    }
    for (let i = 1; i < times.length; i += 1) {
      const gap = times[i] - times[i - 1];
      assert.ok(gap >= 370 && gap < 700, `gap of ${gap} ms`);
    }
    socket.ws.terminate();
  });

  test("over polling", async () => {
    const session = await PollSession.open(target);
    await session.join();
    for (let i = 0; i < 3; i += 1) {
      assert.deepEqual(await session.poll(), ["2"]);
      await session.send("3");
    }
    await session.send("1");
  });

  test("no pong ends the session: ping timeout", async () => {
    const socket = await RawSocket.open(target);
    const id = await socket.join();
    const started = Date.now();
    await socket.closeCode(3000);
    const passed = Date.now() - started;
    assert.ok(passed > 450 && passed < 1500, `closed after ${passed} ms`);
    assert.equal((await target.disconnectOf(id)).reason, "ping timeout");
    const session = await PollSession.open(target);
    const { sid } = await session.join();
    assert.equal((await target.disconnectOf(sid)).reason, "ping timeout");
  });

  test("the first other packet after a ping extends the wait, once", async () => {
    const socket = await RawSocket.open(target);
    await socket.join();
    assert.equal(await socket.next(), "2");
    const started = Date.now();
    await sleep(200);
    socket.send('42["echo",1]');
    assert.equal(await socket.next(), '42["echo",1]');
    await sleep(200);
    socket.send('42["echo",2]');
    assert.equal(await socket.next(), '42["echo",2]');
    await socket.closeCode(2000);
    const passed = Date.now() - started;
    assert.ok(passed > 450 && passed < 800, `closed after ${passed} ms`);
  });

  test("official clients stay connected for many intervals", async () => {
    const clients = await Promise.all([["polling"], ["websocket"], ["polling", "websocket"]].map((transports) => target.connect("/", { transports })));
    const ended = clients.map((client) => next(client, "disconnect", 4000).then(([reason]) => assert.fail(reason), () => {}));
    await sleep(3000);
    for (const client of clients) assert.equal(await client.emitWithAck("ack", 1), 1);
    await Promise.all(ended);
  });

  test("a client notices a dead server", async (t) => {
    const other = await Target.startFor(t, "--ping-interval", "300", "--ping-timeout", "300");
    const client = await other.connect("/", { transports: ["websocket"] });
    other.child.kill("SIGSTOP");
    const [reason] = await next(client, "disconnect", 3000).finally(() => other.child.kill("SIGCONT"));
    assert.equal(reason, "ping timeout");
  });
});

describe("upgrade", () => {
  let target;
  before(async () => { target = await Target.start("--upgrade-timeout", "600"); });
  after(() => target.stop());
  const upgradeOf = (session) => RawSocket.open(target, `EIO=4&transport=websocket&sid=${session.sid}`);

  test("probe, noop to the open GET, upgrade, then all comes over WebSocket", async () => {
    const session = await PollSession.open(target);
    await session.join();
    const socket = await upgradeOf(session);
    const pending = session.poll();
    await sleep(50);
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    assert.deepEqual(await pending, ["6"]);
    socket.send("5");
    socket.send('42["echo","over websocket"]');
    assert.equal(await socket.next(), '42["echo","over websocket"]');
    assert.equal((await session.get()).status, 400);
    socket.ws.terminate();
  });

  test("what waits for a poll at the time of the upgrade is not lost", async () => {
    const session = await PollSession.open(target);
    const { sid } = await session.join();
    const socket = await upgradeOf(session);
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    await target.ask("emit", { rooms: [sid], event: "waiting", args: [1] });
    await target.ask("emit", { rooms: [sid], event: "waiting", args: [2] });
    socket.send("5");
    assert.deepEqual([await socket.next(), await socket.next()], ['42["waiting",1]', '42["waiting",2]']);
    socket.ws.terminate();
  });

  test("a wrong probe closes only the new transport", async () => {
    for (const wrong of ["2", "2other", "4x", "3probe"]) {
      const session = await PollSession.open(target);
      const socket = await upgradeOf(session);
      socket.send(wrong);
      await socket.closeCode();
      await session.join();
      await session.send('42["echo",1]');
      assert.deepEqual(await session.poll(), ['42["echo",1]'], wrong);
      await session.send("1");
    }
  });

  test("an upgrade that is not finished in time closes only the new transport", async () => {
    for (const packets of [[], ["2probe"]]) {
      const session = await PollSession.open(target);
      const socket = await upgradeOf(session);
      packets.forEach((packet) => socket.send(packet));
      await socket.closeCode(2000);
      await session.send("40");
      let got = [];
      while (!got.some((packet) => packet.startsWith("40"))) got = await session.poll();
      await session.send("1");
    }
  });

  test("a new transport lost while it probes leaves the session on polling", async () => {
    const session = await PollSession.open(target);
    const socket = await upgradeOf(session);
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    socket.ws.terminate();
    await sleep(50);
    await session.send("40");
    let got = [];
    while (!got.some((packet) => packet.startsWith("40"))) got = await session.poll();
  });

  test("a second WebSocket for a session that is upgrading or upgraded is closed", async () => {
    const session = await PollSession.open(target);
    const first = await upgradeOf(session);
    first.send("2probe");
    assert.equal(await first.next(), "3probe");
    const second = new RawSocket(target, `EIO=4&transport=websocket&sid=${session.sid}`);
    await within(Promise.race([second.closed, second.opened.then(() => second.closed)]), 3000, "the second was not closed");
    first.send("5");
    first.send("40");
    assert.match(await first.next(), /^40/);
    const third = new RawSocket(target, `EIO=4&transport=websocket&sid=${session.sid}`);
    await third.closeCode();
    first.send('42["echo",1]');
    assert.equal(await first.next(), '42["echo",1]');
    first.ws.terminate();
  });

  test("order holds across upgrades, both ways", async () => {
    const numbers = Array.from({ length: 300 }, (_, i) => i);
    for (let round = 0; round < 15; round += 1) {
      const client = target.client("/", {});
      await connected(client);
      const echoed = collect(client, "echo", 300);
      const pushed = collect(client, "push", 50);
      const pushing = (async () => {
        for (let i = 0; i < 50; i += 1) await target.ask("emit", { rooms: [client.id], event: "push", args: [i] });
      })();
      for (const i of numbers) {
        client.emit("echo", i, i % 10 ? "" : Buffer.from([i % 256]));
        if (i % 5 === 0) await sleep(1);
      }
      assert.deepEqual((await echoed).map(([i]) => i), numbers);
      assert.deepEqual((await pushed).map(([i]) => i), numbers.slice(0, 50));
      await pushing;
      await until(() => client.io.engine.transport.name === "websocket", "upgraded");
      client.disconnect();
    }
  });

  test("the client remembers that it was upgraded", async () => {
    const first = await target.connect("/", { rememberUpgrade: true });
    await until(() => first.io.engine.transport.name === "websocket", "upgraded");
    first.disconnect();
    const second = await target.connect("/", { rememberUpgrade: true });
    assert.equal(second.io.engine.transport.name, "websocket");
  });
});

describe("WebSocket", () => {
  let target;
  before(async () => { target = await Target.start("--max-payload", "1000", "--eio3"); });
  after(() => target.stop());

  test("the opening offers no upgrades", async () => {
    const socket = await RawSocket.open(target);
    const opening = JSON.parse((await socket.next()).slice(1));
    assert.deepEqual([opening.upgrades, Object.keys(opening)], [[], ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]]);
    socket.ws.terminate();
  });

  test("a message over the limit: close code 1009, transport error", async () => {
    const socket = await RawSocket.open(target);
    const id = await socket.join();
    socket.send(`42["echo","${"x".repeat(1000)}"]`);
    assert.equal(await socket.closeCode(), 1009);
    assert.equal((await target.disconnectOf(id)).reason, "transport error");
  });

  // What ends a session, the close code that the client sees, and the reason that the server's handlers see.
  const endings = [
    ["an unknown packet type", ["9"], "parse error"],
    ["an empty message", [""], "parse error"],
    ["a ping, which is the server's to send", ["2"], "transport error"],
    ["an invalid Socket.IO packet", ["4x"], "forced close"],
    ["an unknown Socket.IO type", ["47"], "forced close"],
    ["invalid JSON", ['42["a'], "forced close"],
    ["an event that is not an array", ['42{"a":1}'], "forced close"],
    ["an event without a name", ["42[]"], "forced close"],
    ["an event with an object for a name", ['42[{"a":1}]'], "forced close"],
    ["an event with null for a name", ["42[null]"], "forced close"],
    ["an event with a reserved name", ['42["disconnect"]'], "forced close"],
    ["another reserved name", ['42["newListener","x"]'], "forced close"],
    ["an acknowledgement that is not an array", ['431"x"'], "forced close"],
    ["a DISCONNECT with data", ['41{"a":1}'], "forced close"],
    ["binary that was not announced", [Buffer.from([1])], "forced close"],
    ["text where an attachment must come", ['451-["a",{"_placeholder":true,"num":0}]', '42["echo"]'], "forced close"],
    ["too many attachments", [`4511-["a",{"_placeholder":true,"num":0}]`], "forced close"],
    ["no attachments in a binary event", ['450-["a"]'], "forced close"],
    ["attachments without a number", ['45-["a"]'], "forced close"],
    ["a placeholder out of range", ['451-["a",{"_placeholder":true,"num":5}]', Buffer.from([1])], "forced close"],
    ["a placeholder with a negative number", ['451-["a",{"_placeholder":true,"num":-1}]', Buffer.from([1])], "forced close"],
    ["a placeholder with a name", ['451-["a",{"_placeholder":true,"num":"splice"}]', Buffer.from([1])], "forced close"],
    // Which of the two it is depends in the reference on the transport, and on what waits to be sent.
    ["a second CONNECT", ["40"], /^forced (server )?close$/],
    ["an event for a namespace not joined", ['42/custom,["a"]'], /^forced (server )?close$/],
  ];
  for (const [name, packets, reason] of endings) {
    test(`${name} ends the session`, async () => {
      const socket = await RawSocket.open(target);
      const id = await socket.join();
      packets.forEach((packet) => socket.send(packet));
      assert.equal(await socket.closeCode(), 1005);
      const ending = await target.disconnectOf(id);
      if (reason instanceof RegExp) assert.match(ending.reason, reason);
      else assert.equal(ending.reason, reason);
    });
  }

  test("an event before CONNECT ends the connection", async () => {
    const socket = await RawSocket.open(target);
    await socket.next();
    socket.send('42["echo"]');
    assert.equal(await socket.closeCode(), 1005);
  });

  test("an unusable CONNECT ends the connection", async () => {
    for (const packet of ['40"text"', "40[1]", "40{"]) {
      const socket = await RawSocket.open(target);
      await socket.next();
      socket.send(packet);
      assert.equal(await socket.closeCode(), 1005, packet);
    }
  });

  test("packets that are legal though unusual", async () => {
    const socket = await RawSocket.open(target);
    await socket.join('40{"a":1}');
    for (const [sent, received] of [
      ['42["echo"]', '42["echo"]'],
      ['420["ack"]', "430[]"],
      ['4212345["ack",null,"x"]', '4312345[null,"x"]'],
      ['42[1,"x"]', '42["numeric","x"]'],
      ['42["echo",{"_placeholder":true,"num":0}]', '42["echo",{"_placeholder":true,"num":0}]'],
      ["4399[1]", null],
      ['42["echo","\\ud83d\\ude00"]', '42["echo","😀"]'],
    ]) {
      socket.send(sent);
      if (!received) continue;
      // Escapes in what is sent back may stay as they came.
      const answer = await socket.next();
      const start = received.search(/[[{]/);
      assert.equal(answer.slice(0, start), received.slice(0, start));
      assert.deepEqual(JSON.parse(answer.slice(start)), JSON.parse(received.slice(start)));
    }
    socket.send("40/custom");
    assert.match(await socket.next(), /^40\/custom,\{"sid":"[\w-]{20}"\}$/);
    assert.match(await socket.next(), /^42\/custom,\["welcome","[\w-]{20}"\]$/);
    socket.send("41/custom");
    await sleep(50); // the reference takes a CONNECT in the same read for a second one
    socket.send("40/custom");
    assert.match(await socket.next(), /^40\/custom,/);
    assert.match(await socket.next(), /^42\/custom,\["welcome"/);
    socket.send("40/unknown");
    assert.equal(await socket.next(), '44/unknown,{"message":"Invalid namespace"}');
    socket.ws.terminate();
  });

  test("leaving the only namespace leaves the connection open", async () => {
    const socket = await RawSocket.open(target);
    const id = await socket.join();
    socket.send("41");
    assert.equal((await target.disconnectOf(id)).reason, "client namespace disconnect");
    socket.send("40");
    assert.match(await socket.next(), /^40\{"sid"/);
    socket.ws.terminate();
  });

  test("disconnect by the server: a packet, then the end", async () => {
    const socket = await RawSocket.open(target);
    await socket.join();
    socket.send("40/custom");
    await socket.next();
    await socket.next();
    socket.send('42["disconnect-me",true]');
    assert.deepEqual([await socket.next(), await socket.next()].sort(), ["41", "41/custom,"]);
    assert.equal(await socket.closeCode(), 1005);
  });

  test("a closing handshake is answered, a cut connection noticed", async () => {
    const polite = await RawSocket.open(target);
    const id = await polite.join();
    polite.ws.close(1000);
    assert.equal(await polite.closeCode(), 1000);
    assert.equal((await target.disconnectOf(id)).reason, "transport close");
    const cut = await RawSocket.open(target);
    const gone = await cut.join();
    cut.ws.terminate();
    assert.equal((await target.disconnectOf(gone)).reason, "transport close");
  });

  test("a subprotocol that is asked for is not refused", async () => {
    const socket = await RawSocket.open(target, undefined, { protocols: ["one", "two"] });
    assert.ok(["one", ""].includes(socket.ws.protocol));
    await socket.join();
    socket.ws.terminate();
  });

  test("WebSocket pings are answered", async () => {
    const socket = await RawSocket.open(target);
    await socket.join();
    const pong = new Promise((resolve) => socket.ws.once("pong", resolve));
    socket.ws.ping("hello");
    assert.equal((await within(pong, 2000, "no pong")).toString(), "hello");
    socket.ws.terminate();
  });

  test("a session of protocol v3", async () => {
    const socket = await RawSocket.open(target, "EIO=3&transport=websocket");
    assert.match(await socket.next(), /^0\{"sid"/);
    assert.equal(await socket.next(), "40");
    socket.send("2");
    assert.equal(await socket.next(), "3");
    socket.send('42["echo",5]');
    assert.equal(await socket.next(), '42["echo",5]');
    socket.send("40/deny,");
    assert.equal(await socket.next(), '44/deny,{"a":1}');
    socket.send("40/unknown,");
    assert.equal(await socket.next(), '44/unknown,{"message":"Invalid namespace"}');
    socket.send("40/auth?token=1&x=a%20b,");
    assert.equal(await socket.next(), "40/auth,");
    assert.equal(await socket.next(), '42/auth,["auth",{"token":"1","x":"a b"}]');
    socket.send('451-["echo",{"_placeholder":true,"num":0}]');
    socket.send(Buffer.from([4, 7, 8]));
    assert.equal(await socket.next(), '451-["echo",{"_placeholder":true,"num":0}]');
    assert.deepEqual([...await socket.next()], [4, 7, 8]);
    socket.ws.terminate();
  });
});

describe("permessage-deflate", () => {
  let target;
  before(async () => { target = await Target.start("--deflate"); });
  after(() => target.stop());

  const flags = [undefined, false, true];
  for (const clientNoContextTakeover of flags) {
    for (const serverNoContextTakeover of flags) {
      const flags = JSON.stringify({ clientNoContextTakeover, serverNoContextTakeover });
      test(`offers of ws with ${flags}, and all windows`, async () => {
        for (const clientMaxWindowBits of [undefined, false, true, 9, 12, 15]) {
          for (const serverMaxWindowBits of [undefined, 9, 15]) {
            const offer = { clientNoContextTakeover, serverNoContextTakeover, clientMaxWindowBits, serverMaxWindowBits };
            const given = Object.fromEntries(Object.entries(offer).filter(([, value]) => value !== undefined));
            const socket = await RawSocket.open(target, undefined, { perMessageDeflate: { ...given, threshold: 0 } });
            await socket.join();
            for (let i = 0; i < 3; i += 1) {
              const packet = `42["echo","${"all the same ".repeat(300)}",${i}]`;
              socket.ws.send(packet, { compress: true });
              assert.equal(await socket.next(), packet, JSON.stringify(given));
            }
            socket.ws.terminate();
          }
        }
      });
    }
  }
});

describe("what is wrong is said at once", () => {
  let target;
  before(async () => { target = await Target.start("--max-payload", "100000"); });
  after(() => target.stop());

  test("a message that is too large: 1009, and the connection ends", async () => {
    const socket = await RawSocket.open(target);
    await socket.join();
    const started = Date.now();
    socket.send(`42["echo","${"x".repeat(5_000_000)}"]`);
    assert.equal(await socket.closeCode(5000), 1009);
    assert.ok(Date.now() - started < 3000, `after ${Date.now() - started} ms`);
  });

  test("a GET a timeout after the ping finds no session", async (t) => {
    const quick = await Target.startFor(t, "--ping-interval", "300", "--ping-timeout", "200");
    const session = await PollSession.open(quick);
    await sleep(500);
    assert.equal((await session.get()).status, 400);
  });

  test("2probe and 5 in one segment: 3probe comes", async () => {
    const session = await PollSession.open(target);
    const bytes = Buffer.concat([Buffer.from(upgradeRequest(`EIO=4&transport=websocket&sid=${session.sid}`)), frame({ payload: "2probe" }), frame({ payload: "5" })]);
    assert.match((await rawBytes(target, bytes, 250)).toString("latin1"), /3probe/);
  });
});
