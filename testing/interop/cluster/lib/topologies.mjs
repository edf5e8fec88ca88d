// Where Redis may be: a Redis Cluster, a master with sentinels, or a server with TLS and a user. On free ports, without a disk.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within } from "../../js/lib/target.mjs";
import { freePort } from "./redis.mjs";

/** A place. What it started ends with `stop`. */
class Place {
  servers = [];
  /** Flags that lead both kinds of server here. */
  flags = [];
  folder = mkdtempSync(join(tmpdir(), "redis-"));

  /** Starts a server, and waits until it answers. */
  async start(config, ...words) {
    const port = await freePort();
    const folder = mkdtempSync(join(this.folder, "server-"));
    const file = join(folder, "redis.conf");
    const common = ["bind 127.0.0.1", `dir ${folder}`, 'save ""', "appendonly no", "protected-mode no"];
    writeFileSync(file, [...common, ...config(port), ""].join("\n"));
    const child = spawn("redis-server", [file, ...words], { stdio: "ignore" });
    const exit = new Promise((resolve, reject) => child.once("exit", resolve).once("error", reject));
    const server = { port, child, exit };
    this.servers.push(server);
    await until(() => this.command(server, "PING") === "PONG", "redis-server does not answer", 10_000);
    return server;
  }

  /** Options of redis-cli that let it in. */
  login = [];

  /** What the server answers, nothing if it does not. */
  command({ port }, ...words) {
    try {
      const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 5000 };
      return execFileSync("redis-cli", ["-p", port, ...this.login, ...words], options).trim();
    } catch {
      return "";
    }
  }

  /** Whether there is such a key. */
  has(key) {
    return this.command(this.servers[0], "-c", "EXISTS", key) === "1";
  }

  async stop() {
    for (const { child } of this.servers) child.kill("SIGKILL");
    for (const { exit } of this.servers) await within(exit, 5000, "redis-server did not end");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Three masters. */
export class RedisCluster extends Place {
  static async start() {
    const place = new RedisCluster();
    for (const slots of [[0, 5460], [5461, 10922], [10923, 16383]]) {
      const bus = await freePort();
      const config = ["cluster-enabled yes", `cluster-port ${bus}`, "cluster-node-timeout 5000"];
      const server = await place.start((port) => [`port ${port}`, ...config]);
      place.command(server, "CLUSTER", "SET-CONFIG-EPOCH", String(place.servers.length));
      place.command(server, "CLUSTER", "ADDSLOTSRANGE", ...slots.map(String));
      place.command(place.servers[0], "CLUSTER", "MEET", "127.0.0.1", String(server.port), String(bus));
    }
    const isWhole = (server) => {
      const state = place.command(server, "CLUSTER", "INFO");
      return state.includes("cluster_state:ok") && state.includes("cluster_known_nodes:3") && state.includes("cluster_slots_ok:16384");
    };
    await until(() => place.servers.every(isWhole), "the cluster is not whole", 20_000);
    place.flags = ["--url", `redis+cluster://${place.servers.map(({ port }) => `127.0.0.1:${port}`)}`];
    return place;
  }
}

/** A master, its replica, and three sentinels. */
export class Sentinels extends Place {
  sentinels = [];

  static async start() {
    const place = new Sentinels();
    const master = await place.start((port) => [`port ${port}`, "repl-diskless-sync-delay 0"]);
    await place.start((port) => [`port ${port}`, `replicaof 127.0.0.1 ${master.port}`]);
    const { sentinels } = place;
    for (let n = 0; n < 3; n += 1) {
      const monitor = `sentinel monitor main 127.0.0.1 ${master.port} 2`;
      sentinels.push(await place.start((port) => [`port ${port}`, monitor], "--sentinel"));
    }
    const isReady = (sentinel) => {
      const [quorum, state] = [place.command(sentinel, "SENTINEL", "CKQUORUM", "main"), place.command(sentinel, "INFO", "sentinel")];
      return quorum.startsWith("OK 3") && state.includes("slaves=1,sentinels=3");
    };
    await until(() => sentinels.every(isReady), "the sentinels are not ready", 20_000);
    place.flags = ["--url", `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`)}/main`];
    return place;
  }

  /** Kills the master, and waits until all sentinels name another one. */
  async failOver() {
    const named = (sentinel) => this.command(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").split("\n")[1];
    const old = named(this.sentinels[0]);
    for (const sentinel of this.sentinels) this.command(sentinel, "SENTINEL", "SET", "main", "down-after-milliseconds", "500");
    this.servers.find(({ port }) => String(port) === old).child.kill("SIGKILL");
    const isOver = (sentinel) => ![old, "", undefined].includes(named(sentinel));
    await until(() => this.sentinels.every(isOver), "no other master", 30_000);
  }
}

const PASSWORD = "p@ss/word:#1";

/** One server that speaks TLS only, to a user with a password who may do what the adapters do and no more. */
export class Secure extends Place {
  static async start() {
    const place = new Secure();
    const files = ["ca.pem", "ca-key.pem", "cert.pem", "key.pem", "request.pem", "names"];
    const [ca, caKey, cert, key, request, names] = files.map((name) => join(place.folder, name));
    const openssl = (...words) => execFileSync("openssl", words, { stdio: "ignore" });
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl("req", "-x509", ...newKey, "-keyout", caKey, "-out", ca, "-subj", "/CN=tests", "-days", "2");
    openssl("req", ...newKey, "-keyout", key, "-out", request, "-subj", "/CN=redis");
    writeFileSync(names, "subjectAltName=IP:127.0.0.1\n");
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-out", cert, "-extfile", names, "-days", "2");
    place.login = ["--tls", "--cacert", ca, "--user", "sockeye", "--pass", PASSWORD, "--no-auth-warning"];
    const { port } = await place.start((port) => [
      "port 0", `tls-port ${port}`, `tls-ca-cert-file ${ca}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, "tls-auth-clients no",
      "user default off",
      `user sockeye on ">${PASSWORD}" resetchannels ${RIGHTS}`,
    ]);
    place.flags = ["--url", `rediss://sockeye:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}`, "--ca", ca];
    return place;
  }
}

// What both kinds of server need, and `exists` for the tests. A pattern of the classic adapter, one for each namespace, is to be named as it is.
const PATTERNS = ["/", "/custom", "/deny", "/auth", "/csr", "/control"].map((nsp) => `&socket.io#${nsp}#*`);
const RIGHTS = [
  "~socket.io", "~sio:session:*", "&socket.io*", ...PATTERNS,
  "+@connection", "+@pubsub", "+@stream", "+@string", "+@transaction", "+eval", "+del", "+exists", "+info",
].join(" ");
