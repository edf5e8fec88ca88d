// Starts and stops a server of NATS of its own, on a free port, with JetStream in a folder of its own.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within } from "../../js/lib/target.mjs";
import { freePort } from "./redis.mjs";

/** A running nats-server. */
export class Nats {
  static async start() {
    const nats = new Nats();
    nats.port = await freePort();
    nats.folder = mkdtempSync(join(tmpdir(), "nats-"));
    await nats.startAgain();
    return nats;
  }

  /** Starts again on the same port, after it was killed. */
  async startAgain() {
    const words = ["-a", "127.0.0.1", "-p", String(this.port), "-js", "-sd", this.folder];
    this.child = spawn("nats-server", words, { stdio: "ignore" });
    this.exit = new Promise((resolve, reject) => {
      this.child.once("exit", resolve);
      this.child.once("error", reject);
    });
    await until(() => greets(this.port), "nats-server does not answer", 10_000);
  }

  get url() { return `nats://127.0.0.1:${this.port}`; }

  async kill(signal = "SIGKILL") {
    this.child.kill(signal);
    await within(this.exit, 5000, "nats-server did not end");
  }

  async stop() {
    await this.kill("SIGTERM");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether a server of NATS says what it is there. */
function greets(port) {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.setTimeout(1000, () => { socket.destroy(); resolve(false); });
    socket.once("data", (data) => { socket.destroy(); resolve(data.toString().startsWith("INFO ")); });
    socket.once("error", () => resolve(false));
  });
}
