// Starts and stops the server under test (TARGET_CMD, default: the reference), and waits for things with a time limit.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import msgpackParser from "socket.io-msgpack-parser";

const folder = fileURLToPath(new URL("../../", import.meta.url));
/** The official server. */
export const REFERENCE = "node reference.mjs";
/** The server under test. */
export const TARGET = process.env.TARGET_CMD ?? REFERENCE;

/** One running server process. Flags are those of CONTRACT.md. */
export class Target {
  static async start(...flags) {
    return Target.run(TARGET, ...flags);
  }

  /** The same with another program. */
  static async run(command, ...flags) {
    const target = new Target(flags, command);
    await target.#spawn("0");
    return target;
  }

  /** The same for one test, which it does not outlive. */
  static async startFor(context, ...flags) {
    const target = await Target.start(...flags);
    context.after(() => target.stop());
    return target;
  }

  constructor(flags, command) {
    this.flags = flags;
    this.command = command.split(/\s+/);
    this.clients = new Set();
    this.log = "";
  }

  get url() { return `http://127.0.0.1:${this.port}`; }
  get alive() { return this.child.exitCode === null && this.child.signalCode === null; }

  async #spawn(port) {
    const [program, ...fixed] = this.command;
    const child = spawn(program, [...fixed, ...this.flags, "--port", port], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    this.exit = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    child.stderr.on("data", (data) => { this.log = (this.log + data).slice(-20_000); });
    const ready = new Promise((resolve, reject) => {
      let out = "";
      child.stdout.on("data", (data) => {
        out = (out + data).slice(-20_000);
        const line = out.match(/^listening (\d+)$/m);
        if (line) resolve(Number(line[1]));
      });
      child.once("error", reject);
      this.exit.then(() => reject(new Error(`the server ended before it listened:\n${this.log}`)));
    });
    this.port = await within(ready, 15_000, "the server did not say that it listens");
  }

  /** Sends the signal and waits for the end of the process. */
  async kill(signal = "SIGTERM") {
    if (this.alive) this.child.kill(signal);
    return within(this.exit, 5000, `the server did not end on ${signal}`).catch((error) => {
      this.child.kill("SIGKILL");
      throw error;
    });
  }

  /** Starts again on the same port, after `kill`. */
  async startAgain() {
    await this.#spawn(String(this.port));
  }

  /** Ends clients and server; fails if the server had died, which no client may bring about. */
  async stop() {
    for (const client of this.clients) hangUp(client);
    const died = !this.alive;
    const { code } = await this.kill();
    if (died) throw new Error(`the server died during the tests:\n${this.log}`);
    if (code !== 0) throw new Error(`the server ended with status ${code}:\n${this.log}`);
  }

  /** An official client (not yet connected), closed by `stop`. */
  client(nsp = "/", options = {}) {
    const parser = this.flags.includes("msgpack") ? { parser: msgpackParser } : {};
    const client = io(this.url + nsp, { forceNew: true, reconnection: false, ...parser, ...options });
    this.clients.add(client);
    return client;
  }

  /** An official client, connected. */
  async connect(nsp = "/", options = {}) {
    const client = this.client(nsp, options);
    await connected(client);
    return client;
  }

  /** Asks the control namespace. */
  async ask(event, ...args) {
    if (!this.control?.connected || this.controlChild !== this.child) {
      this.control?.disconnect();
      this.control = await this.connect("/control", { transports: ["websocket"] });
      this.controlChild = this.child;
    }
    return this.control.timeout(5000).emitWithAck(event, ...args);
  }

  /** The recorded end of one socket. */
  async disconnectOf(id) {
    return until(async () => (await this.ask("disconnects")).find((entry) => entry.id === id), `no disconnect of ${id}`);
  }
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise's value, or an error after `ms`. */
export async function within(promise, ms, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${message} (${ms} ms)`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Polls until `check` gives a truthy value, and returns it. */
export async function until(check, message, ms = 5000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${message} (${ms} ms)`);
    await sleep(20);
  }
}

/** The arguments of the next `event`. */
export function next(emitter, event, ms = 5000) {
  return within(new Promise((resolve) => emitter.once(event, (...args) => resolve(args))), ms, `no ${event}`);
}

/** The arguments of the next `count` of `event`, in order. */
export function collect(emitter, event, count, ms = 10_000) {
  const seen = [];
  return within(
    new Promise((resolve) => {
      const listener = (...args) => {
        seen.push(args);
        if (seen.length === count) {
          emitter.off(event, listener);
          resolve(seen);
        }
      };
      emitter.on(event, listener);
    }),
    ms,
    `fewer than ${count} of ${event}`,
  ).catch((error) => {
    throw new Error(`${error.message}: ${seen.length} came`);
  });
}

/** Resolves when connected, rejects with the reason for not being so. */
export function connected(client, ms = 5000) {
  if (client.connected) return Promise.resolve();
  return within(
    new Promise((resolve, reject) => {
      client.once("connect", resolve);
      client.once("connect_error", reject);
    }),
    ms,
    "not connected",
  );
}

/** Leaves the namespace and closes the connection, whatever else uses it. */
export function hangUp(client) {
  client.disconnect();
  client.io.engine?.close();
}

/** Resolves when the client's connection has been upgraded to WebSocket. */
export function upgraded(client) {
  return until(() => client.io.engine?.transport?.name === "websocket", "not upgraded");
}

/** The same value with every kind of binary as `{ bytes: [...] }`, so that values of different clients compare. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
}
