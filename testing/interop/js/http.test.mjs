// What the server answers to bare HTTP requests and upgrades: status, headers, body, for every error of the protocol.

import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { PollSession, RawSocket, frame, rawAnswer, rawBytes, request, upgradeRequest } from "./lib/raw.mjs";
import { sleep, Target, until, within } from "./lib/target.mjs";

const ORIGIN = "http://ok.example";
const UNKNOWN_TRANSPORT = { code: 0, message: "Transport unknown" };
const UNKNOWN_SESSION = { code: 1, message: "Session ID unknown" };
const BAD_METHOD = { code: 2, message: "Bad handshake method" };
const BAD_REQUEST = { code: 3, message: "Bad request" };
const UNSUPPORTED = { code: 5, message: "Unsupported protocol version" };
const OPENING_KEYS = ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"];

describe("HTTP", () => {
  let target;
  before(async () => { target = await Target.start("--eio3", "--cors", ORIGIN, "--cookie", "io", "--max-payload", "1000", "--ping-interval", "60000"); });
  after(() => target.stop());

  const refusals = [
    ["GET", "EIO=4", UNKNOWN_TRANSPORT],
    ["GET", "", UNKNOWN_TRANSPORT],
    ["GET", "EIO=4&transport=abc", UNKNOWN_TRANSPORT],
    ["GET", "EIO=4&transport=webtransport", UNKNOWN_TRANSPORT],
    ["GET", "EIO=4&transport=__proto__", UNKNOWN_TRANSPORT],
    ["GET", "EIO=4&transport=constructor", UNKNOWN_TRANSPORT],
    ["POST", "EIO=4&transport=abc&sid=xx", UNKNOWN_TRANSPORT],
    ["GET", "EIO=4&transport=polling&sid=xx", UNKNOWN_SESSION],
    ["GET", "EIO=4&transport=polling&sid=__proto__", UNKNOWN_SESSION],
    ["POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", UNKNOWN_SESSION],
    ["POST", "EIO=4&transport=polling", BAD_METHOD],
    ["PUT", "EIO=4&transport=polling", BAD_METHOD],
    ["DELETE", "EIO=4&transport=polling", BAD_METHOD],
    ["GET", "EIO=4&transport=websocket", BAD_REQUEST],
  ];
  for (const [method, query, error] of refusals) {
    test(`${method} ?${query} is refused with code ${error.code}`, async () => {
      const answer = await request(target, method, `/socket.io/?${query}`);
      assert.equal(answer.status, 400);
      assert.equal(answer.text, JSON.stringify(error));
      assert.equal(answer.headers["content-type"], "application/json");
      assert.equal(answer.headers["access-control-allow-origin"], ORIGIN);
      assert.equal(answer.headers["access-control-allow-credentials"], "true");
      assert.equal(answer.headers.vary, "Origin");
    });
  }

  test("a session's request with another transport is refused", async () => {
    const session = await PollSession.open(target);
    const answer = await request(target, "GET", `/socket.io/?EIO=4&transport=websocket&sid=${session.sid}`);
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [400, BAD_REQUEST]);
    const socket = await RawSocket.open(target);
    const { sid } = JSON.parse((await socket.next()).slice(1));
    const polling = await request(target, "GET", `/socket.io/?EIO=4&transport=polling&sid=${sid}`);
    assert.deepEqual([polling.status, JSON.parse(polling.text)], [400, BAD_REQUEST]);
    socket.ws.terminate();
  });

  test("a session's request with another protocol version is refused", async () => {
    const session = await PollSession.open(target);
    const answer = await request(target, "GET", `/socket.io/?EIO=3&transport=polling&sid=${session.sid}`);
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [400, BAD_REQUEST]);
  });

  test("the handshake's answer", async () => {
    const answer = await request(target, "GET", "/socket.io/?EIO=4&transport=polling");
    assert.equal(answer.status, 200);
    assert.equal(answer.text[0], "0");
    const opening = JSON.parse(answer.text.slice(1));
    assert.deepEqual(Object.keys(opening), OPENING_KEYS);
    assert.match(opening.sid, /^[\w-]{20}$/);
    assert.deepEqual({ ...opening, sid: "" }, { sid: "", upgrades: ["websocket"], pingInterval: 60000, pingTimeout: 20000, maxPayload: 1000 });
    assert.equal(answer.headers["content-type"], "text/plain; charset=UTF-8");
    assert.equal(answer.headers["content-length"], String(answer.body.length));
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.deepEqual(answer.headers["set-cookie"], [`io=${opening.sid}; Path=/; HttpOnly; SameSite=Lax`]);
    assert.equal(answer.headers["access-control-allow-origin"], ORIGIN);
  });

  test("session ids differ and cannot be guessed from one another", async () => {
    const ids = [];
    for (let i = 0; i < 50; i += 1) ids.push((await PollSession.open(target)).sid);
    assert.equal(new Set(ids).size, 50);
    assert.equal(new Set(ids.map((id) => id.slice(0, 10))).size, 50);
  });

  test("the cookie is set by the handshake only", async () => {
    const session = await PollSession.open(target);
    const answer = await session.post("40");
    assert.equal(answer.headers["set-cookie"], undefined);
    assert.equal((await session.get()).headers["set-cookie"], undefined);
  });

  test("preflight", async () => {
    const answer = await request(target, "OPTIONS", "/socket.io/?EIO=4&transport=polling", {
      headers: { origin: ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-a" },
    });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers["access-control-allow-origin"], ORIGIN);
    assert.equal(answer.headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE");
    assert.equal(answer.headers["access-control-allow-headers"], "x-a");
    assert.equal(answer.headers["access-control-allow-credentials"], "true");
    // RFC 9110, 8.6, forbids a length with this status; the reference sends one.
    assert.ok(["0", undefined].includes(answer.headers["content-length"]));
    assert.equal(answer.headers.vary, "Origin, Access-Control-Request-Headers");
  });

  test("a fixed origin is sent to every origin", async () => {
    const answer = await request(target, "GET", "/socket.io/?EIO=4&transport=polling", { headers: { origin: "http://bad.example" } });
    assert.deepEqual([answer.status, answer.headers["access-control-allow-origin"]], [200, ORIGIN]);
  });

  test("other paths are not the server's", async () => {
    for (const path of ["/socket.io?EIO=4&transport=polling", "/other", "/", "/socket.iox/?EIO=4&transport=polling"]) {
      assert.equal((await request(target, "GET", path)).status, 404, path);
    }
  });

  test("the posted answer", async () => {
    const session = await PollSession.open(target);
    const answer = await session.post("40");
    assert.deepEqual([answer.status, answer.text], [200, "ok"]);
    assert.equal(answer.headers["content-type"], "text/html");
    assert.equal(answer.headers["content-length"], "2");
    assert.equal(answer.headers["cache-control"], "no-store");
    const got = await session.get();
    assert.match(got.text, /^40\{"sid":"[\w-]{20}"\}$/);
    assert.equal(got.headers["content-type"], "text/plain; charset=UTF-8");
  });

  test("methods that a session does not know", async () => {
    const session = await PollSession.open(target);
    for (const method of ["PUT", "HEAD", "DELETE"]) {
      const answer = await request(target, method, session.path);
      assert.deepEqual([answer.status, answer.text], [500, ""], method);
    }
    await session.join();
  });

  test("a body over the limit is 413 and does not end the session", async () => {
    const session = await PollSession.open(target);
    const answer = await session.post(`4${"x".repeat(1000)}`);
    assert.deepEqual([answer.status, answer.text], [413, ""]);
    await session.join();
  });

  test("a body of exactly the limit is taken", async () => {
    const session = await PollSession.open(target);
    await session.join();
    const event = (text) => `42${JSON.stringify(["echo", text])}`;
    const whole = event("x".repeat(1000 - event("").length));
    assert.equal(whole.length, 1000);
    await session.send(whole);
    assert.deepEqual(await session.poll(), [whole]);
  });

  test("a body over the limit without a content length is 413, or cut", async () => {
    const session = await PollSession.open(target);
    const answer = await session.post("x".repeat(5000), { headers: { "transfer-encoding": "chunked" } }).catch((error) => error);
    if (!(answer instanceof Error)) assert.equal(answer.status, 413);
    await PollSession.open(target);
  });

  test("binary content is refused and ends the session", async () => {
    const session = await PollSession.open(target);
    const answer = await session.post("40", { headers: { "content-type": "application/octet-stream" } });
    assert.deepEqual([answer.status, answer.text], [400, ""]);
    assert.deepEqual(JSON.parse((await session.get()).text || "{}"), UNKNOWN_SESSION);
  });

  test("overlapping GETs end the session", async () => {
    const session = await PollSession.open(target);
    const first = session.get();
    await sleep(100);
    const second = await session.get();
    assert.deepEqual([second.status, second.text], [400, ""]);
    const one = await first;
    assert.deepEqual([one.status, one.text], [200, "1"]);
    assert.deepEqual(JSON.parse((await session.get()).text), UNKNOWN_SESSION);
  });

  test("overlapping POSTs end the session", async () => {
    const session = await PollSession.open(target);
    const held = http.request({ host: "127.0.0.1", port: target.port, method: "POST", path: session.path, headers: { "content-length": 10 } });
    held.on("error", () => {});
    held.write("40");
    await sleep(100);
    const second = await session.post("40");
    assert.deepEqual([second.status, second.text], [400, ""]);
    held.destroy();
    assert.deepEqual(JSON.parse((await session.get()).text), UNKNOWN_SESSION);
  });

  test("a GET given up by the client ends the session", async () => {
    const session = await PollSession.open(target);
    const { sid } = await session.join();
    const pending = http.get({ host: "127.0.0.1", port: target.port, path: session.path });
    pending.on("error", () => {});
    await sleep(100);
    pending.destroy();
    assert.equal((await target.disconnectOf(sid)).reason, "transport error");
  });

  for (const [name, body] of [["unknown type", "9x"], ["empty", ""], ["a ping, which is the server's to send", "2"]]) {
    test(`a packet that cannot be (${name}) is answered ok, then the session is gone`, async () => {
      const session = await PollSession.open(target);
      const answer = await session.post(body);
      assert.deepEqual([answer.status, answer.text], [200, "ok"]);
      assert.deepEqual(JSON.parse((await session.get()).text), UNKNOWN_SESSION);
    });
  }

  test("a close packet answers the open GET with a noop", async () => {
    const session = await PollSession.open(target);
    const pending = session.get();
    await sleep(100);
    await session.send("1");
    assert.equal((await pending).text, "6");
    assert.deepEqual(JSON.parse((await session.get()).text), UNKNOWN_SESSION);
  });

  test("several packets in a body, in order, text and base64 binary", async () => {
    const session = await PollSession.open(target);
    await session.join();
    await session.send('42["echo",1]', '451-["echo",{"_placeholder":true,"num":0}]', "bAQID", '42["echo",2]');
    let packets = [];
    while (packets.length < 4) packets = packets.concat(await session.poll());
    assert.deepEqual(packets, ['42["echo",1]', '451-["echo",{"_placeholder":true,"num":0}]', "bAQID", '42["echo",2]']);
  });

  test("unknown and refused namespaces, a second CONNECT", async () => {
    const session = await PollSession.open(target);
    const { sid } = await session.join();
    await session.send("40/zz,", "40/deny,");
    let packets = [];
    while (packets.length < 2) packets = packets.concat(await session.poll());
    assert.deepEqual(packets, ['44/zz,{"message":"Invalid namespace"}', '44/deny,{"message":"nope","data":{"a":1}}']);
    await session.send("40");
    assert.equal((await target.disconnectOf(sid)).reason, "forced server close");
  });

  test("JSONP", async () => {
    const answer = await request(target, "GET", "/socket.io/?EIO=4&transport=polling&j=12");
    assert.equal(answer.status, 200);
    const [, json] = answer.text.match(/^___eio\[12\]\((".*")\);$/);
    const opening = JSON.parse(JSON.parse(json).slice(1));
    const session = new PollSession(target, 4, opening);
    session.path += "&j=12";
    const post = (text) => session.post(`d=${encodeURIComponent(text)}`, { headers: { "content-type": "application/x-www-form-urlencoded" } });
    assert.equal((await post("40")).text, "ok");
    assert.match((await session.get()).text, /^___eio\[12\]\("40\{\\"sid\\":\\"[\w-]{20}\\"\}"\);$/);
    await post('42["echo","\u2028 \\\\n <"]');
    const echoed = (await session.get()).text;
    assert.ok(!echoed.includes("\u2028"), "a line separator must be escaped in a script");
    assert.equal(JSON.parse(echoed.slice("___eio[12](".length, -2)), '42["echo","\u2028 \\\\n <"]'.replace("\\\\n", "\\n"));
  });

  test("big poll answers are compressed if the client wants that", async () => {
    const session = await PollSession.open(target);
    await session.join();
    await session.send('42["bin",3000]');
    const zipped = await session.get({ headers: { "accept-encoding": "gzip, deflate" } });
    assert.equal(zipped.headers["content-encoding"], "gzip");
    const packets = gunzipSync(zipped.body).toString();
    assert.match(packets, /^451-\["bin",\{"_placeholder":true,"num":0\}\]/);
    await session.send('42["bin",3000]');
    const unzipped = await session.get();
    assert.equal(unzipped.headers["content-encoding"], undefined);
    assert.equal(unzipped.text, packets);
  });

  test("keeps the connection for the next request", async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { createConnection } = agent;
    let opened = 0;
    agent.createConnection = (...args) => { opened += 1; return createConnection.apply(agent, args); };
    const session = await PollSession.open(target);
    const { headers } = await session.post("40", { agent });
    // To keep it is what HTTP/1.1 means where nothing is said.
    assert.ok(["keep-alive", undefined].includes(headers.connection));
    assert.match((await session.get({ agent })).text, /^40/);
    assert.equal(opened, 1);
    agent.destroy();
  });

  for (const [query, message] of [
    ["EIO=4", UNKNOWN_TRANSPORT.message],
    ["EIO=4&transport=abc", UNKNOWN_TRANSPORT.message],
    ["EIO=4&transport=__proto__", UNKNOWN_TRANSPORT.message],
    ["EIO=4&transport=websocket&sid=nope", UNKNOWN_SESSION.message],
  ]) {
    test(`an upgrade of ?${query} is refused in plain text`, async () => {
      const error = await RawSocket.open(target, query).catch((refusal) => refusal);
      assert.deepEqual([error.status, error.text], [400, message]);
      assert.equal(error.headers["content-type"], "text/html");
      assert.equal(error.headers["content-length"], String(message.length));
      assert.equal(error.headers.connection, "close");
    });
  }

  test("an upgrade with transport=polling is closed at once", async () => {
    const socket = new RawSocket(target, "EIO=4&transport=polling");
    assert.equal(await socket.closeCode(), 1005);
  });

  test("an upgrade outside the path is not left hanging", async () => {
    const text = upgradeRequest().replace("/socket.io/", "/other/");
    const started = Date.now();
    const answer = (await rawBytes(target, text, 5000)).toString();
    assert.ok(answer.startsWith("HTTP/1.1 404") || Date.now() - started < 4000, "answered, or closed in time");
    assert.ok(!answer.startsWith("HTTP/1.1 101"));
  });

  test("Engine.IO v3 handshakes: bare, base64, JSONP, any other version number", async () => {
    for (const [query, pattern] of [
      ["EIO=3&transport=polling", /^\d+:0\{/],
      ["transport=polling", /^\d+:0\{/],
      ["EIO=5&transport=polling", /^\d+:0\{/],
      ["EIO=3&transport=polling&b64=1", /^\d+:0\{/],
      ["EIO=3&transport=polling&j=0", /^___eio\[0\]\("\d+:0\{/],
    ]) {
      const answer = await request(target, "GET", `/socket.io/?${query}`);
      assert.equal(answer.status, 200);
      assert.match(answer.text, pattern, query);
    }
    const { text } = await request(target, "GET", "/socket.io/?EIO=3&transport=polling");
    const [, length, packet] = text.match(/^(\d+):(0\{.*?\})(.*)$/s);
    assert.equal(packet.length, Number(length));
  });
});

describe("HTTP with the default options", () => {
  let target;
  before(async () => { target = await Target.start(); });
  after(() => target.stop());

  for (const query of ["EIO=3&transport=polling", "transport=polling", "EIO=5&transport=polling"]) {
    test(`?${query} is an unsupported version`, async () => {
      const answer = await request(target, "GET", `/socket.io/?${query}`);
      assert.deepEqual([answer.status, JSON.parse(answer.text)], [400, UNSUPPORTED]);
    });
  }

  test("an upgrade with an unsupported version is refused", async () => {
    // The reference answers 400 after a 101, which no client can read: that there is no session is what counts.
    const socket = new RawSocket(target, "EIO=3&transport=websocket");
    const refused = socket.opened.then(() => socket.closed, (refusal) => refusal.status);
    assert.ok([400, 1002, 1006].includes(await within(refused, 5000, "not refused")));
    assert.deepEqual(socket.queue, []);
  });

  test("no CORS headers and no cookie", async () => {
    const answer = await request(target, "GET", "/socket.io/?EIO=4&transport=polling", { headers: { origin: ORIGIN } });
    assert.equal(answer.headers["access-control-allow-origin"], undefined);
    assert.equal(answer.headers["set-cookie"], undefined);
    const preflight = await request(target, "OPTIONS", "/socket.io/?EIO=4&transport=polling", { headers: { origin: ORIGIN } });
    assert.deepEqual([preflight.status, JSON.parse(preflight.text)], [400, BAD_METHOD]);
  });

  test("the opening tells the defaults", async () => {
    const { opening } = await PollSession.open(target);
    assert.deepEqual({ ...opening, sid: "" }, { sid: "", upgrades: ["websocket"], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000 });
  });
});

describe("what comes on a connection", () => {
  let target;
  before(async () => { target = await Target.start(); });
  after(() => target.stop());
  // The load balancer of the suites has the HTTP library as it is.
  const skip = (process.env.TARGET_CMD ?? "").includes("--forwarded") && "the load balancer answers";
  const GET = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n";

  for (const [name, behind, status] of [
    ["an empty line", "\r\n", 200],
    ["the first half of the next request", GET.slice(0, 20), 200],
  ]) {
    test(`a request is answered with ${name} in the same segment`, async () => {
      const answer = await rawAnswer(target, GET + behind, /0\{"sid".*\}/);
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} [^]*0\\{"sid"`));
    });
  }

  test("a request is answered with bytes beyond its length behind it, and those are refused", async () => {
    const post = "POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n40 and more\r\n\r\n";
    assert.match(await rawAnswer(target, post, /HTTP\/1.1 400/), /^HTTP\/1.1 404 [^]*HTTP\/1.1 400 /);
  });

  test("an upgrade is answered with the first frame in the same segment", async () => {
    const bytes = Buffer.concat([Buffer.from(upgradeRequest()), frame({ payload: "40" })]);
    // The reference loses the frame, as nobody listens to the session yet.
    assert.match(await rawAnswer(target, bytes, /0\{"sid".*\}/), /^HTTP\/1.1 101 [^]*0\{"sid"/);
  });

  for (const [name, text, status, own] of [
    ["no HTTP", "no HTTP at all\r\n\r\n", 400],
    ["a space behind a header's name", GET.replace("Host:", "Host :"), 400],
    ["a header's value with a zero", GET.replace("Host: a", "Host: \0"), 400],
    ["40 kB of headers", GET.replace("Host: a", `Host: a\r\nx: ${"a".repeat(40_000)}`), 431],
    ["a bare line feed in the headers", GET.replace("Host: a\r", "X: a\nHost: a\r"), 400, true],
    ["chunks and a length", `${GET.slice(0, -2).replace("GET", "POST")}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n`, 400, true],
    ["a length and chunks", `${GET.slice(0, -2).replace("GET", "POST")}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, true],
  ]) {
    test(`${name}: ${status}`, { skip: own && skip }, async () => {
      assert.match(await rawAnswer(target, text, /^HTTP\/1.1 ...[^]*\r\n\r\n/), new RegExp(`^HTTP/1.1 ${status} `));
    });
  }

  test("a WebSocket of an unknown version is refused, and the connection closed", async () => {
    const text = upgradeRequest().replace("Version: 13", "Version: 12");
    const started = Date.now();
    assert.match((await rawBytes(target, text, 10_000)).toString(), /^HTTP\/1.1 400 /);
    assert.ok(Date.now() - started < 9_000, "closed");
  });

  test("413 reaches a client that writes all before it reads, and the session goes on", async () => {
    const session = await PollSession.open(target);
    for (let i = 0; i < 3; i += 1) {
      const head = `POST ${session.path} HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n`;
      const socket = net.connect(target.port, "127.0.0.1");
      socket.pause();
      const written = new Promise((resolve, reject) => {
        socket.on("error", reject);
        socket.write(Buffer.concat([Buffer.from(head), Buffer.alloc(20_000_000, "x")]), resolve);
      });
      await within(written, 30_000, "not read");
      const answer = new Promise((resolve) => socket.once("data", (data) => resolve(data.toString())));
      socket.resume();
      assert.match(await within(answer, 10_000, "no answer"), /^HTTP\/1.1 413 /);
      socket.destroy();
    }
    await session.join();
  });
});

describe("HTTP with other options", () => {
  test("any origin", async (t) => {
    const target = await Target.startFor(t, "--cors", "*");
    const answer = await request(target, "GET", "/socket.io/?EIO=4&transport=polling", { headers: { origin: ORIGIN } });
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.equal(answer.headers["access-control-allow-credentials"], undefined);
  });

  test("one transport only, no upgrades", async (t) => {
    const polling = await Target.startFor(t, "--transports", "polling");
    assert.deepEqual((await PollSession.open(polling)).opening.upgrades, []);
    const refused = await RawSocket.open(polling).catch((error) => error);
    assert.equal(refused.status, 400);
    assert.ok([UNKNOWN_TRANSPORT.message, JSON.stringify(UNKNOWN_TRANSPORT)].includes(refused.text), refused.text);
    const websocket = await Target.startFor(t, "--transports", "websocket");
    const answer = await request(websocket, "GET", "/socket.io/?EIO=4&transport=polling");
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [400, UNKNOWN_TRANSPORT]);
    await websocket.connect("/", { transports: ["websocket"] });
    const fixed = await Target.startFor(t, "--no-upgrades");
    assert.deepEqual((await PollSession.open(fixed)).opening.upgrades, []);
  });

  test("another path", async (t) => {
    const target = await Target.startFor(t, "--path", "/events");
    assert.equal((await request(target, "GET", "/socket.io/?EIO=4&transport=polling")).status, 404);
    assert.equal((await request(target, "GET", "/events/?EIO=4&transport=polling")).status, 200);
    const client = await target.connect("/custom", { path: "/events" });
    assert.equal(await client.emitWithAck("ack", 1), 1);
  });

  test("a client that joins no namespace is closed", async (t) => {
    const target = await Target.startFor(t, "--connect-timeout", "500");
    const socket = await RawSocket.open(target);
    assert.equal((await socket.next())[0], "0");
    assert.equal(await socket.closeCode(3000), 1005);
    const session = await PollSession.open(target);
    assert.equal((await session.get()).text, "1");
    const staying = await RawSocket.open(target);
    await staying.join();
    await sleep(800);
    staying.send('42["echo",1]');
    assert.equal(await staying.next(), '42["echo",1]');
    await until(async () => (await target.ask("counters")).engineClients === 2, "only one and the control are left");
  });
});
