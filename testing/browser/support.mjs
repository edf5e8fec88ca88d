// What the tests share: the server under test, a proxy that can cut connections, and waiting for a condition.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, connect } from "node:net";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Which backend the chat is tested on: a server that runs already, the Sockeye binary, or the reference server. */
export const backend = process.env.SOCKEYE_URL ? "url" : process.env.SOCKEYE_BIN ? "sockeye" : "reference";

/** The next port of this run's range, `TEST_PORT` (default 22000) and up. */
export const nextPort = (() => {
  let port = Number(process.env.TEST_PORT ?? 22000);
  return () => port++;
})();

/**
 * Starts a server and waits until it answers. `kind` is "reference" or "sockeye"; `env` is added to its environment.
 * Returns `{ url, port, restart(), stop() }`; a restart is a kill without any goodbye, so that everything in memory is lost.
 */
export async function startServer({ kind = backend, env = {} } = {}) {
  if (kind === "url") {
    const url = new URL(process.env.SOCKEYE_URL);
    return { url: url.origin, port: Number(url.port || 80), host: url.hostname, stop: async () => {} };
  }
  const port = nextPort();
  const url = `http://127.0.0.1:${port}`;
  const [command, args, own] =
    kind === "sockeye"
      ? [process.env.SOCKEYE_BIN, (process.env.SOCKEYE_ARGS ?? "").split(" ").filter(Boolean), {
          SOCKEYE__SERVER__CLIENT_DIR: here("node_modules/socket.io/client-dist"),
        }]
      : [process.execPath, [here("reference-server.mjs")], {}];
  // The server takes every variable that begins like this for a setting, and refuses those that are none.
  const theirs = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^SOCKEYE_[A-Z]/.test(name)));
  let child;
  const start = async () => {
    child = spawn(command, args, {
      env: { ...theirs, ...own, PORT: String(port), ...env },
      stdio: ["ignore", "ignore", process.env.SERVER_LOG ? "inherit" : "ignore"],
    });
    process.once("exit", () => child.kill("SIGKILL")); // also when a test has failed on the way
    const dead = () => child.exitCode !== null || child.signalCode !== null;
    await eventually(() => dead() || answers(url), "the server to answer", 15000);
    if (dead()) throw new Error(`${command} ended at once; run the tests with SERVER_LOG=1 to see why`);
  };
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  };
  await start();
  return {
    url, port, host: "127.0.0.1", stop,
    async restart(pause = 0) {
      await stop();
      await sleep(pause);
      await start();
    },
  };
}

const answers = (url) => fetch(url).then((response) => response.body?.cancel().then(() => true) ?? true, () => false);

/** A TCP proxy in front of `target`. `cut(ms)` breaks every connection and refuses new ones for that long. */
export async function startProxy(target) {
  const port = nextPort();
  const pairs = new Set();
  let refusing = false;
  let frozen = false;
  const server = createServer((client) => {
    if (refusing) return client.destroy();
    const upstream = connect(target.port, target.host);
    const pair = [client, upstream];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      pair.forEach((socket) => socket.destroy());
    };
    for (const [from, to] of [pair, [upstream, client]]) {
      from.on("data", (data) => frozen || to.write(data));
      from.on("error", end);
      from.on("close", () => frozen || end());
    }
    return undefined;
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const drop = () => {
    for (const pair of pairs) pair.forEach((socket) => socket.destroy());
  };
  return {
    url: `http://127.0.0.1:${port}`,
    async cut(ms) {
      refusing = true;
      drop();
      await sleep(ms);
      refusing = false;
    },
    /** Lets nothing through any more, without closing anything. */
    freeze: (value) => (frozen = value),
    async stop() {
      const closed = once(server, "close");
      server.close();
      drop();
      await closed;
    },
  };
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` gives something true and returns that. */
export async function eventually(condition, what, ms = 8000) {
  const until = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > until) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(20);
  }
}
