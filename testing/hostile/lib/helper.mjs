// The processes that this suite starts, and how it asks them.

import { fork } from "node:child_process";

/** A process that runs one of the programs here, with a higher priority if it measures and may have it. */
export class Helper {
  constructor(file, options, { isMeasuring = false } = {}) {
    this.child = fork(new URL(file, import.meta.url), [JSON.stringify(options)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.gone = new Promise((resolve) => this.child.once("exit", resolve));
    if (isMeasuring) raise(this.child.pid);
  }

  /** Resolves with the next message that has this key; rejects when the process ends before, or after `ms`. */
  next(key, ms) {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.child.off("message", take);
        this.child.off("exit", ended);
      };
      const take = (message) => {
        if (!(key in message)) return;
        end();
        resolve(message[key]);
      };
      const ended = () => { end(); reject(new Error(`a process ended before it said: ${key}`)); };
      const timer = setTimeout(() => { end(); reject(new Error(`no ${key} (${ms} ms)`)); }, ms);
      this.child.on("message", take);
      this.child.once("exit", ended);
    });
  }

  tell(message) {
    if (this.child.connected) this.child.send(message);
  }

  async ask(message, key, ms = 15_000) {
    const answer = this.next(key, ms);
    this.tell(message);
    return answer;
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill("SIGKILL");
    await this.gone;
  }
}

function raise(pid) {
  import("node:os").then(({ setPriority }) => {
    try {
      setPriority(pid, -5);
    } catch {
      // Only root may.
    }
  });
}
