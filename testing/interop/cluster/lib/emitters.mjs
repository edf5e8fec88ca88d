// Emitters, programs that send to a cluster and are no nodes of it, all with the same methods.
//
// `what` has `nsp`, `rooms`, `except`, `volatile`; each method resolves when Redis has taken what was sent.

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Emitter as Emitter4 } from "redis-emitter-4";
import { within } from "../../js/lib/target.mjs";
import { program } from "./sockeye.mjs";

/** `sockeye emit`, a process for each emit. */
export class Command {
  static has = { binaries: true, orders: true, exceptions: true };

  static async start(redis, adapter) {
    const command = new Command();
    command.folder = mkdtempSync(join(tmpdir(), "emit-"));
    const [name, mode] = adapter.split(", ");
    command.config = join(command.folder, "cluster.toml");
    const subscription = mode ? `subscription_mode = "${mode}"\n` : "";
    writeFileSync(command.config, `[cluster]\nadapter = "${name}"\n[cluster.redis]\nurl = "${redis.url}"\n${subscription}`);
    return command;
  }

  emit(what, event, ...args) {
    return this.run(what, ...(what.volatile ? ["--volatile"] : []), ...this.words(event, args));
  }

  join(what, rooms) { return this.run(what, ...rooms.flatMap((room) => ["--join", room])); }
  leave(what, rooms) { return this.run(what, ...rooms.flatMap((room) => ["--leave", room])); }
  disconnect(what) { return this.run(what, "--disconnect", "--close"); }
  serverSideEmit(what, event, ...args) { return this.run(what, "--servers", ...this.words(event, args)); }

  /** Binaries are files, and come last. */
  words(event, args) {
    const files = args.filter(Buffer.isBuffer).map((bytes, number) => {
      const file = join(this.folder, `${number}.bin`);
      writeFileSync(file, bytes);
      return ["--binary", file];
    });
    const texts = args.filter((arg) => !Buffer.isBuffer(arg)).map((arg) => JSON.stringify(arg));
    return [...files.flat(), event, ...texts];
  }

  async run({ nsp = "/", rooms = [], except = [] }, ...words) {
    const target = [...rooms.flatMap((room) => ["--room", room]), ...except.flatMap((room) => ["--except", room])];
    const all = ["emit", "--config", this.config, "--namespace", nsp, ...target, ...words];
    return new Promise((resolve, reject) => {
      execFile(program, all, { timeout: 10_000 }, (error, _output, notes) => (error ? reject(error) : resolve(notes)));
    });
  }

  async stop() { rmSync(this.folder, { recursive: true, force: true }); }
}

/** The official one, `@socket.io/redis-emitter`. */
export class Official {
  static has = { binaries: true, dates: true, orders: true, exceptions: true };

  static Emitter = Emitter;

  static async start(redis) {
    const official = new this();
    official.client = createClient({ url: redis.url });
    await official.client.connect();
    // The emitter keeps the promise of what it publishes to itself.
    official.emitter = new this.Emitter({
      publish: (channel, message) => { official.sent = official.client.publish(channel, message); },
    });
    return official;
  }

  async emit(what, event, ...args) {
    const target = this.target(what);
    (what.volatile ? target.volatile : target).emit(event, ...args);
    await this.sent;
  }

  async join(what, rooms) { this.target(what).socketsJoin(rooms); await this.sent; }
  async leave(what, rooms) { this.target(what).socketsLeave(rooms); await this.sent; }
  async disconnect(what) { this.target(what).disconnectSockets(true); await this.sent; }
  async serverSideEmit({ nsp = "/" }, event, ...args) { this.emitter.of(nsp).serverSideEmit(event, ...args); await this.sent; }

  target({ nsp = "/", rooms = [], except = [] }) { return this.emitter.of(nsp).to(rooms).except(except); }
  async stop() { await this.client.quit(); }
}

/** The one of before, which packs dates and `undefined` in another way. */
export class Official4 extends Official {
  static Emitter = Emitter4;
}

/** What any client of Redis can do: the messages of the guide, in `docs/src/scaling.md`. */
export class ByHand {
  static has = { binaries: false, orders: false, exceptions: true };

  static async start(redis, adapter) {
    const hand = new ByHand();
    hand.isStream = adapter === "redis-streams";
    hand.client = createClient({ url: redis.url });
    await hand.client.connect();
    return hand;
  }

  async emit({ nsp = "/", rooms = [], except = [] }, event, ...args) {
    const packet = { type: 2, data: [event, ...args] };
    if (this.isStream) {
      const data = JSON.stringify({ packet: { ...packet, nsp }, opts: { rooms, flags: {}, except } });
      const fields = ["uid", "emitter", "nsp", nsp, "type", "3", "data", data];
      await this.client.sendCommand(["XADD", "socket.io", "MAXLEN", "~", "10000", "*", ...fields]);
    } else {
      const data = { packet, opts: { rooms, except, flags: {} } };
      const message = JSON.stringify({ type: 3, data, uid: "emitter", nsp });
      await this.client.sendCommand(["SPUBLISH", `socket.io#${nsp}#`, message]);
    }
  }

  async stop() { await this.client.quit(); }
}

/** `socket.io-emitter` of the Python Package Index. It can emit, and nothing else. */
export class Python {
  static has = { binaries: false, orders: false, exceptions: false };

  static async start(redis) {
    const python = new Python();
    const interpreter = process.env.EMITTER_PYTHON ?? "../../.test/venv-emitter/bin/python";
    python.child = spawn(interpreter, ["cluster/python/emit.py", String(redis.port)], { stdio: ["pipe", "pipe", "inherit"] });
    python.exit = new Promise((resolve, reject) => python.child.once("exit", resolve).once("error", reject));
    python.lines = createInterface({ input: python.child.stdout })[Symbol.asyncIterator]();
    return python;
  }

  async emit({ nsp = "/", rooms = [] }, event, ...args) {
    this.child.stdin.write(`${JSON.stringify({ nsp, rooms, event, args })}\n`);
    const { done } = await within(this.lines.next(), 10_000, "the emitter for Python does not send");
    if (done) throw new Error("the emitter for Python has ended");
  }

  async stop() {
    this.child.stdin.end();
    await within(this.exit, 5000, "the emitter for Python did not end");
  }
}
