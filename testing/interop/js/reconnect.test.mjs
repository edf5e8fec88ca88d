// The server is stopped and started again under two hundred official clients: all come back, and what each was promised holds.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { io } from "socket.io-client";
import { connected, next, sleep, Target, until } from "./lib/target.mjs";

const CLIENTS = 200;
const EVENTS = 40;
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

function openClients(context, target, count, options = () => ({})) {
  const clients = Array.from({ length: count }, (_, i) => io(`${target.url}/dyn-1`, {
    forceNew: true,
    transports: TRANSPORTS[i % 3],
    reconnectionDelay: 100,
    reconnectionDelayMax: 500,
    ...options(i),
  }));
  context.after(() => clients.forEach((client) => client.disconnect()));
  return clients;
}

/** Sends numbered events, each when the one before is settled. Gives the numbers that were acknowledged. */
async function sendNumbers(client, key, retries) {
  const acknowledged = [];
  for (let n = 0; n < EVENTS; n += 1) {
    try {
      const answer = retries
        ? await client.emitWithAck("seq", key, n)
        : await client.timeout(20_000).emitWithAck("seq", key, n);
      assert.equal(answer, n);
      acknowledged.push(n);
    } catch {
      // Sent, and the connection lost before the answer: handled once or never.
    }
    await sleep(20);
  }
  return acknowledged;
}

describe("restart", () => {
  test(`${CLIENTS} clients come back; no number is handled out of order, twice, or lost, as far as promised`, async (t) => {
    const target = await Target.startFor(t);
    const withRetries = (i) => i % 2 === 0;
    const clients = openClients(t, target, CLIENTS, (i) => (withRetries(i) ? { retries: 10, ackTimeout: 20_000 } : {}));
    await Promise.all(clients.map((client) => connected(client, 30_000)));
    await until(() => clients.every((client, i) => i % 3 !== 2 || client.io.engine.transport.name === "websocket"), "upgraded", 30_000);
    const reasons = new Set();
    for (const client of clients) client.on("disconnect", (reason) => reasons.add(reason));
    const connects = clients.map(() => 0);
    clients.forEach((client, i) => client.on("connect", () => { connects[i] += 1; }));

    const sending = Promise.all(clients.map((client, i) => sendNumbers(client, `client ${i}`, withRetries(i))));
    await sleep(400);
    const { code } = await target.kill("SIGTERM");
    assert.equal(code, 0);
    await sleep(300);
    await target.startAgain();
    const acknowledged = await sending;

    assert.ok(clients.every((client) => client.connected), "all are connected");
    assert.ok(connects.every((count) => count === 1), "each came back once");
    for (const reason of reasons) assert.ok(["transport close", "transport error"].includes(reason), reason);
    for (let i = 0; i < CLIENTS; i += 1) {
      const handled = await target.ask("seq", `client ${i}`);
      const distinct = handled.filter((n, at) => n !== handled[at - 1]);
      distinct.forEach((n, at) => assert.equal(n, distinct[0] + at, `client ${i} in order: ${handled}`));
      assert.equal(distinct.at(-1), EVENTS - 1);
      assert.ok(distinct[0] > 0, "some were handled before the restart");
      if (withRetries(i)) {
        assert.equal(acknowledged[i].length, EVENTS, "all acknowledged");
      } else {
        assert.equal(handled.length, distinct.length, `client ${i}: none twice: ${handled}`);
        assert.ok(acknowledged[i].length >= EVENTS - 1, "at most the one in flight is lost");
      }
    }
  });

  test("rooms and namespaces are joined anew by the application on connect", async (t) => {
    const target = await Target.startFor(t);
    const [client] = openClients(t, target, 1);
    client.on("connect", () => client.emit("join", "room", () => {}));
    await connected(client);
    await until(async () => (await target.ask("room-size", "/dyn-1", "room")) === 1, "joined");
    const back = next(client, "connect", 10_000);
    await target.kill();
    await target.startAgain();
    await back;
    await until(async () => (await target.ask("room-size", "/dyn-1", "room")) === 1, "joined again");
  });

  test("the server's end is seen as a lost connection, also by an idle poll", async (t) => {
    const target = await Target.startFor(t);
    const clients = openClients(t, target, 6, () => ({ reconnection: false }));
    await Promise.all(clients.map((client) => connected(client)));
    await sleep(100);
    const ends = clients.map((client) => next(client, "disconnect"));
    await target.kill();
    for (const [reason] of await Promise.all(ends)) assert.ok(["transport close", "transport error"].includes(reason), reason);
    await target.startAgain();
  });

  test("a server killed without warning: the clients come back too", async (t) => {
    const target = await Target.startFor(t);
    const clients = openClients(t, target, 30);
    await Promise.all(clients.map((client) => connected(client)));
    const back = clients.map((client) => next(client, "connect", 20_000));
    await target.kill("SIGKILL");
    await target.startAgain();
    await Promise.all(back);
  });

  test("a new process refuses the old one's sessions", async (t) => {
    const target = await Target.startFor(t);
    const client = await target.connect("/", { transports: ["polling"] });
    const sid = client.io.engine.id;
    await target.kill();
    await target.startAgain();
    const answer = await fetch(`${target.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
    assert.deepEqual([answer.status, await answer.json()], [400, { code: 1, message: "Session ID unknown" }]);
  });
});
