// What has brought the official stack down in the past, thrown at the server: it must stay up, bounded, and serve others.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { PollSession, RawSocket, frame, rawBytes, request, upgradeRequest } from "./lib/raw.mjs";
import { next, sleep, Target, until } from "./lib/target.mjs";

describe("attacks", () => {
  let target;
  let witness;
  before(async () => {
    target = await Target.start("--eio3", "--deflate", "--max-payload", "100000",
      "--connect-timeout", "2000", "--ping-interval", "2000", "--ping-timeout", "2000"); // so that nothing stays for long
    witness = await target.connect("/", { transports: ["websocket"] });
  });
  afterEach(async () => {
    assert.ok(target.alive, `the server died:\n${target.log}`);
    witness.emit("echo", "alive");
    assert.deepEqual(await next(witness, "echo", 3000), ["alive"]);
    await until(async () => (await target.ask("counters")).engineClients <= 2, "sessions were left behind", 8000);
  });
  after(() => target.stop());

  const memory = () => Number(readFileSync(`/proc/${target.child.pid}/statm`, "utf8").split(" ")[1]) * 4096;
  const wire = (bytes, query, extra) => rawBytes(target, Buffer.concat([Buffer.from(upgradeRequest(query, extra)), bytes]), 700);
  const joined = (frames) => Buffer.concat([frame({ payload: "40" }), ...frames]);

  const badFrames = [
    ["RSV1 without compression", frame({ rsv: 4, payload: "40" })],
    ["RSV2", frame({ rsv: 2, payload: "40" })],
    ["RSV3", frame({ rsv: 1, payload: "40" })],
    ["a reserved opcode", frame({ opcode: 3, payload: "x" })],
    ["a reserved control opcode", frame({ opcode: 11, payload: "x" })],
    ["a frame without a mask", frame({ masked: false, payload: "40" })],
    ["a fragmented ping", frame({ opcode: 9, fin: false, payload: "x" })],
    ["a ping over 125 bytes", frame({ opcode: 9, payload: "x".repeat(126) })],
    ["a continuation of nothing", frame({ opcode: 0, payload: "x" })],
    ["text that is not UTF-8", frame({ payload: Buffer.from([0x34, 0x32, 0xff, 0xfe]) })],
    ["a close frame with one byte", frame({ opcode: 8, payload: "x" })],
    ["a close frame with a forbidden code", frame({ opcode: 8, payload: Buffer.from([0x03, 0xed]) })],
    ["a length of 2^63 - 1", Buffer.from([0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0])],
    ["a length with the highest bit set", Buffer.from([0x81, 0xff, 0xff, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0])],
    ["a length over the limit", frame({ payload: "4", length: 50_000_000 })],
    ["a binary length over the limit", frame({ opcode: 2, payload: "4", length: 50_000_000 })],
  ];
  for (const [name, bytes] of badFrames) {
    test(`WebSocket: ${name}, at once and after joining`, async () => {
      await wire(bytes);
      await wire(joined([bytes]));
    });
  }

  test("WebSocket: a compressed message that is not deflate", async () => {
    const extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    await wire(frame({ rsv: 4, payload: Buffer.from([0xff, 0xff, 0xff, 0xff]) }), undefined, extension);
  });

  test("WebSocket: a small compressed message that becomes a huge one", async () => {
    const before = memory();
    const socket = await RawSocket.open(target, undefined, { perMessageDeflate: { threshold: 0 } });
    await socket.join();
    socket.ws.send(`42["echo","${"a".repeat(40_000_000)}"]`, { compress: true });
    assert.equal(await socket.closeCode(10_000), 1009);
    assert.ok(memory() - before < 100_000_000, "memory grew");
  });

  test("WebSocket: many tiny fragments", async () => {
    const before = memory();
    const fragments = [frame({ opcode: 1, fin: false, payload: "4" })];
    for (let i = 0; i < 150_000; i += 1) fragments.push(frame({ opcode: 0, fin: false, payload: "x" }));
    await wire(joined(fragments));
    const empty = [frame({ opcode: 1, fin: false, payload: "4" })];
    for (let i = 0; i < 150_000; i += 1) empty.push(frame({ opcode: 0, fin: false, payload: "" }));
    await wire(joined(empty));
    assert.ok(memory() - before < 100_000_000, "memory grew");
  });

  test("WebSocket: handshakes that are no handshakes", async () => {
    for (const text of [
      upgradeRequest().replace(/Sec-WebSocket-Key.*\r\n/, ""),
      upgradeRequest().replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
      upgradeRequest().replace("Version: 13", "Version: 7"),
      upgradeRequest().replace("Upgrade: websocket", "Upgrade: h2c"),
      upgradeRequest().replace("GET", "POST"),
      upgradeRequest(undefined, "Sec-WebSocket-Extensions: ;;,,=\r\n"),
      upgradeRequest(undefined, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99\r\n"),
      upgradeRequest(undefined, "Sec-WebSocket-Protocol: ,,;\r\n"),
    ]) {
      const answer = (await rawBytes(target, text, 500)).toString();
      if (/Sec-WebSocket-Extensions/.test(text)) continue;
      assert.ok(!answer.startsWith("HTTP/1.1 101"), answer);
    }
  });

  test("WebSocket: a subprotocol header made to be slow to read", async () => {
    const started = Date.now();
    await rawBytes(target, upgradeRequest(undefined, `Sec-WebSocket-Protocol: b${" ".repeat(15_000)}x\r\n`), 500);
    await rawBytes(target, upgradeRequest(undefined, `Sec-WebSocket-Extensions: ${"a,".repeat(7_000)}x\r\n`), 500);
    assert.ok(Date.now() - started < 3000);
  });

  test("HTTP: thousands of headers", async () => {
    let headers = "";
    for (let i = 0; i < 5000; i += 1) headers += `X-${i}: 1\r\n`;
    await rawBytes(target, upgradeRequest(undefined, headers), 500);
  });

  test("HTTP: queries with names of object members", async () => {
    for (const query of ["transport=toString", "transport=polling&sid=constructor", "__proto__[a]=1&transport=polling", "sid[]=1&transport=polling", "transport[]=polling", "transport=websocket&transport=polling", "EIO=4&EIO=3&transport=polling&sid=x", "%ff%fe=%", "transport=polling&sid=%00"]) {
      const answer = await request(target, "GET", `/socket.io/?${query}`);
      assert.ok(answer.status < 500 || answer.status === 500, String(answer.status));
      assert.ok((await rawBytes(target, upgradeRequest(query), 150)).length >= 0);
    }
  });

  test("HTTP: refused upgrades that are cut at once", async () => {
    for (let i = 0; i < 50; i += 1) {
      const socket = net.connect(target.port, "127.0.0.1");
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.write(upgradeRequest(i % 2 ? "EIO=4&transport=nope" : "EIO=4&transport=websocket&sid=nope"));
      socket.resetAndDestroy();
    }
    await sleep(100);
  });

  test("HTTP: posted floods are cut at the limit", async () => {
    const before = memory();
    const held = [];
    for (let i = 0; i < 10; i += 1) {
      const session = await PollSession.open(target);
      held.push(session);
      const answer = await session.post("4".repeat(5_000_000)).catch((error) => error);
      if (!(answer instanceof Error)) assert.equal(answer.status, 413);
    }
    assert.ok(memory() - before < 100_000_000, "memory grew");
    for (const session of held) await session.send("1").catch(() => {});
  });

  test("HTTP: garbage instead of HTTP", async () => {
    await rawBytes(target, Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), 300);
    await rawBytes(target, "\r\n\r\n\r\n", 200);
    await rawBytes(target, `GET /${"a".repeat(100_000)} HTTP/1.1\r\n\r\n`, 300);
    await rawBytes(target, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 300);
  });

  test("Engine.IO v3 payloads with lengths that lie", async () => {
    for (const body of ["5:4", "99999999999:4", ":4", "a:4", "-1:4", `${"1".repeat(400)}:4`, "0:", "1:40", "3:40"]) {
      const session = await PollSession.open(target, { eio: 3 });
      await session.post(body).catch(() => {});
      await session.post("1:1").catch(() => {});
      await session.get().catch(() => {});
    }
    for (const body of [[0, 255], [0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, 1], [1, 1, 255], [2, 1, 255, 52], Array(400).fill(9), [0, 1]]) {
      const session = await PollSession.open(target, { eio: 3 });
      await session.post(Buffer.from(body), { headers: { "content-type": "application/octet-stream" } }).catch(() => {});
      await session.post("1:1").catch(() => {});
      await session.get().catch(() => {});
    }
  });

  const packets = [
    ["a placeholder named like a function", '451-["echo",{"_placeholder":true,"num":"splice"}]'],
    ["a placeholder with a fraction", '451-["echo",{"_placeholder":true,"num":0.5}]'],
    ["an event name that is an object", '42[{"toString":"x"}]'],
    ["an event name that is a list", '42[["a"]]'],
    ["the event error", '42["error","x"]'],
    ["the event __proto__", '42["__proto__","x"]'],
    ["a member named __proto__", '42["echo",{"__proto__":{"x":1},"constructor":{"prototype":{}}}]'],
    ["very deep nesting", `42["echo",${"[".repeat(40_000)}${"]".repeat(40_000)}]`],
    ["very deep objects", `42["echo",${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}]`],
    ["many attachments announced", '45999999999-["echo"]'],
    ["an attachment count that is no number", '451e9-["echo"]'],
    ["an acknowledgement number beyond all bounds", `42${"9".repeat(400)}["ack"]`],
    ["an acknowledgement of nothing", "4317[1]"],
    ["a namespace with a long name", `40/${"a".repeat(90_000)},`],
    ["a CONNECT with deep auth", `40/auth,${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`],
    ["lone surrogates", '42["echo","\\ud800"]'],
    ["a huge number", `42["echo",${"9".repeat(5_000)}]`],
    ["an exponent out of range", '42["echo",1e99999]'],
  ];
  // Nesting is where a recursive reader ends, and the reference with it.
  const tooDeep = ["very deep nesting", "very deep objects", "a CONNECT with deep auth"];
  const onReference = !process.env.TARGET_CMD;
  for (const [name, packet] of packets) {
    const skip = onReference && tooDeep.includes(name) && "the reference dies of it";
    test(`Socket.IO: ${name}`, { skip }, async () => {
      const socket = await RawSocket.open(target);
      await socket.join();
      socket.send(packet);
      if (packet.startsWith("45")) socket.send(Buffer.from([1]));
      await sleep(100);
      socket.ws.terminate();
      const session = await PollSession.open(target);
      await session.join();
      await session.send(packet).catch(() => {});
      await session.send("1").catch(() => {});
    });
  }

  test("Socket.IO: ten announced attachments that never come, then the end", async () => {
    for (let i = 0; i < 50; i += 1) {
      const socket = await RawSocket.open(target);
      await socket.join();
      socket.send(`4510-["echo",${Array.from({ length: 10 }, (_, n) => `{"_placeholder":true,"num":${n}}`)}]`);
      for (let n = 0; n < 9; n += 1) socket.send(Buffer.alloc(1000));
      socket.ws.terminate();
    }
  });

  test("Socket.IO: many namespaces asked for on one connection", async () => {
    const socket = await RawSocket.open(target);
    await socket.join();
    for (let i = 0; i < 2000; i += 1) socket.send(`40/unknown-${i},`);
    for (let i = 0; i < 2000; i += 1) assert.match(await socket.next(), /^44\/unknown-/);
    socket.ws.terminate();
  });

  test("clients that come and go at once, by the hundred", async () => {
    for (let i = 0; i < 300; i += 1) {
      const socket = new RawSocket(target);
      if (i % 3) await socket.opened;
      if (i % 3 === 2) socket.send("40");
      socket.ws.terminate();
    }
  });

  test("a client that reads nothing does not hold up the others", async () => {
    const socket = await RawSocket.open(target);
    const id = await socket.join();
    socket.ws.pause();
    for (let i = 0; i < 200; i += 1) {
      await target.ask("emit", { rooms: [id], event: "flood", args: ["x".repeat(20_000)] });
    }
    witness.emit("echo", "still served");
    assert.deepEqual(await next(witness, "echo", 1000), ["still served"]);
    socket.ws.terminate();
  });
});
