// Starts and stops a Redis server of its own, on a free port, with nothing kept on disk.

import { spawn } from "node:child_process";
import { createConnection, createServer } from "node:net";
import { until, within } from "../../js/lib/target.mjs";

/** A running redis-server. */
export class Redis {
  static async start() {
    const redis = new Redis();
    redis.port = await freePort();
    redis.child = spawn(
      "redis-server",
      ["--port", String(redis.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
      { stdio: "ignore" },
    );
    redis.exit = new Promise((resolve, reject) => {
      redis.child.once("exit", resolve);
      redis.child.once("error", reject);
    });
    await until(() => answers(redis.port), "redis-server does not answer", 10_000);
    return redis;
  }

  get url() { return `redis://127.0.0.1:${this.port}`; }

  /** Whether there is such a key. */
  has(key) {
    return new Promise((resolve) => {
      const socket = createConnection(this.port, "127.0.0.1", () => socket.write(`EXISTS ${key}\r\n`));
      socket.once("data", (data) => { socket.destroy(); resolve(data.toString() === ":1\r\n"); });
      socket.once("error", () => resolve(false));
    });
  }

  async stop() {
    this.child.kill("SIGTERM");
    await within(this.exit, 5000, "redis-server did not end");
  }
}

/** A port that nobody listens on now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", (data) => { socket.destroy(); resolve(data.toString() === "+PONG\r\n"); });
    socket.once("error", () => resolve(false));
  });
}
