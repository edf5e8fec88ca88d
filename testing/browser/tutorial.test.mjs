// The tutorial of Socket.IO (https://socket.io/docs/v4/tutorial/step-5) with a stock client: what one sends as `chat message`
// comes to everybody, the sender included. On the backend that the environment names (see support.mjs).
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { backend, eventually, startServer } from "./support.mjs";

describe(`the tutorial on ${backend}`, () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server?.stop());

  test("what one sends comes to everybody", { timeout: 30000 }, async () => {
    const sockets = [io(server.url, { forceNew: true }), io(server.url, { forceNew: true })];
    try {
      const heard = sockets.map((socket) => {
        const texts = [];
        socket.on("chat message", (text) => texts.push(text));
        return texts;
      });
      await Promise.all(sockets.map((socket) => once(socket, "connect")));
      sockets[0].emit("chat message", "hello");
      await eventually(() => heard.every((texts) => texts.length === 1), "the message");
      assert.deepEqual(heard, [["hello"], ["hello"]]);
    } finally {
      for (const socket of sockets) socket.disconnect();
    }
  });
});
