// Starts and stops the standalone server, with its built-in chat and settings from the environment.

import { spawn } from "node:child_process";
import { within } from "../../js/lib/target.mjs";

const program = process.env.SOCKEYE_BIN ?? "../../target/release/sockeye";

/** A running `sockeye`. */
export class Sockeye {
  static async start(environment) {
    const server = new Sockeye();
    server.child = spawn(program, ["--port", "0"], {
      env: { ...process.env, ...environment, SOCKEYE__LOG__FORMAT: "json", SOCKEYE__SERVER__HOST: "127.0.0.1" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    server.log = "";
    server.exit = new Promise((resolve) => server.child.once("exit", resolve));
    const url = new Promise((resolve, reject) => {
      server.child.stderr.on("data", (data) => {
        server.log = (server.log + data).slice(-20_000);
        const found = server.log.match(/http:\/\/127\.0\.0\.1:\d+/);
        if (found) resolve(found[0]);
      });
      server.child.once("error", reject);
      server.exit.then(() => reject(new Error(`it ended before it listened:\n${server.log}`)));
    });
    server.url = await within(url, 15_000, "sockeye does not listen");
    return server;
  }

  get port() { return Number(new URL(this.url).port); }

  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    await within(this.exit, 12_000, "sockeye did not end");
  }
}
