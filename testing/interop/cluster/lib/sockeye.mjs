// Starts and stops the standalone server, with its built-in chat and settings from the environment.

import { spawn } from "node:child_process";
import { within } from "../../js/lib/target.mjs";

/** The program. It takes every variable that begins with SOCKEYE_ for a setting, so this one is not passed on to it. */
export const program = process.env.SOCKEYE_BIN ?? "../../target/release/sockeye";
delete process.env.SOCKEYE_BIN;

/** A running `sockeye`. */
export class Sockeye {
  static async start(environment) {
    const server = new Sockeye();
    server.environment = environment;
    await server.#spawn(0);
    return server;
  }

  /** Starts again on the same port, after it has ended. */
  async startAgain() {
    await this.#spawn(this.port);
  }

  async #spawn(port) {
    const child = spawn(program, ["--port", String(port)], {
      env: {
        ...process.env,
        SOCKEYE__ADMIN__LISTEN: "127.0.0.1:0",
        ...this.environment,
        SOCKEYE__LOG__FORMAT: "json",
        SOCKEYE__SERVER__HOST: "127.0.0.1",
      },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.child = child;
    this.log = "";
    this.exit = new Promise((resolve) => child.once("exit", resolve));
    const url = new Promise((resolve, reject) => {
      child.stderr.on("data", (data) => {
        this.log = (this.log + data).slice(-20_000);
        const found = this.log.match(/http:\/\/127\.0\.0\.1:\d+/);
        if (found) resolve(found[0]);
      });
      child.once("error", reject);
      this.exit.then(() => reject(new Error(`it ended before it listened:\n${this.log}`)));
    });
    this.url = await within(url, 15_000, "sockeye does not listen");
    this.admin = `http://${this.log.match(/"the listener for operators","address":"([^"]+)"/)?.[1]}`;
  }

  get port() { return Number(new URL(this.url).port); }

  /** What `/readyz` says does not work; nothing where all works. */
  async problem() {
    const text = (await (await fetch(`${this.admin}/readyz`)).text()).trim();
    return text === "ready" ? "" : text;
  }

  /** A value of `/metrics`. */
  async metric(name) {
    const page = await (await fetch(`${this.admin}/metrics`)).text();
    const line = page.match(new RegExp(`^sockeye_${name} (.*)$`, "m"));
    if (!line) throw new Error(`there is no metric ${name}`);
    return Number(line[1]);
  }

  async kill() { await this.stop("SIGKILL"); }

  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    await within(this.exit, 12_000, "sockeye did not end");
  }
}
