// Starts and stops a Redis server of its own, on a free port, with nothing kept on disk unless that is asked for.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within } from "../../js/lib/target.mjs";

/** A running redis-server. */
export class Redis {
  /** With `keeps` every write is on disk before it is answered. */
  static async start({ keeps = false } = {}) {
    const redis = new Redis();
    redis.port = await freePort();
    redis.folder = keeps && mkdtempSync(join(tmpdir(), "redis-"));
    await redis.startAgain();
    return redis;
  }

  /** Starts again on the same port, after it was killed. */
  async startAgain() {
    const disk = this.folder ? ["yes", "--appendfsync", "always", "--dir", this.folder] : ["no"];
    const words = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", ...disk];
    this.child = spawn("redis-server", words, { stdio: "ignore" });
    this.exit = new Promise((resolve, reject) => {
      this.child.once("exit", resolve);
      this.child.once("error", reject);
    });
    await until(() => answers(this.port), "redis-server does not answer", 10_000);
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

  async kill(signal = "SIGKILL") {
    this.child.kill(signal);
    await within(this.exit, 5000, "redis-server did not end");
  }

  async stop() {
    await this.kill("SIGTERM");
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
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
