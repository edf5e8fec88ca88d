// The engine without Socket.IO: the official engine client against the example `engine-echo`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { Fetch, NodeWebSocket, Socket as Engine } from "engine.io-client";
import { collect, next, until } from "../js/lib/target.mjs";

// The example, as a program.
const program = process.env.ENGINE_ECHO;

describe("the engine alone", () => {
  let child, url;
  before(async () => {
    child = spawn(program, ["127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
    const [address] = await once(createInterface({ input: child.stdout }), "line");
    url = `http://${address}`;
  });
  after(() => child.kill());

  const variants = [
    ["polling", { transports: ["polling"] }],
    ["websocket", { transports: ["websocket"] }],
    ["websocket with compression", { transports: ["websocket"], perMessageDeflate: { threshold: 16 } }],
    ["polling then websocket", {}, "websocket"],
    ["fetch then websocket", { transports: [Fetch, NodeWebSocket] }, "websocket"],
  ];
  for (const [name, options, final] of variants) {
    test(`${name}: text and binary come back, in order`, async () => {
      const engine = new Engine(url, { path: "/engine.io", ...options });
      await next(engine, "open");
      if (final) {
        await next(engine, "upgrade");
        assert.equal(engine.transport.name, final);
      }
      const sent = ["a", "é😀", new Uint8Array([0, 1, 255]), "x".repeat(70_000), new Uint8Array(70_000).fill(7), "end"];
      const answers = collect(engine, "message", sent.length);
      for (const message of sent) engine.send(message);
      const got = (await answers).map(([message]) => message);
      for (const [at, message] of sent.entries()) {
        if (typeof message === "string") assert.equal(got[at], message);
        else assert.ok(Buffer.from(got[at].buffer ?? got[at], got[at].byteOffset ?? 0, message.length).equals(Buffer.from(message)));
      }
      engine.close();
      await until(() => engine.readyState === "closed", "not closed");
    });
  }

  test("a thousand messages during the upgrade come back, once each and in order", async () => {
    const engine = new Engine(url, { path: "/engine.io" });
    await next(engine, "open");
    const answers = collect(engine, "message", 1000);
    for (let number = 0; number < 1000; number += 1) engine.send(String(number));
    assert.deepEqual((await answers).map(([message]) => message), Array.from({ length: 1000 }, (_, number) => String(number)));
    engine.close();
    await until(() => engine.readyState === "closed", "not closed");
  });

  test("what is not below its path is not found", async () => {
    assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
    assert.equal((await fetch(`${url}/engine.io/?EIO=4&transport=none`)).status, 400);
  });
});
