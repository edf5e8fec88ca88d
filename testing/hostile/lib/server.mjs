// The server under attack: starts it with a limit to its memory, and reads what it has and what it counts.

import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import { sleep } from "./wire.mjs";

const CONFIGURATION = fileURLToPath(new URL("../server.toml", import.meta.url));
/** Open files of the server, unless an attack says otherwise. */
const FILES = 20_000;

/** What counts ordinary traffic, and says nothing of an attack. */
const ORDINARY = /^(opened|upgrades|recovered|events_received|packets_sent|tcp_accepted|closed: transport close)$/;

/** A running server. */
export class Server {
  /**
   * Starts it, and waits until it serves. `needs` is what the attack asks for: `program`, `flags` (of interop-server), `environment` (of
   * sockeye), `tls`, `files`, and `stderr`: "read", "unread", "full", "closed".
   */
  static async start(needs, { programs, memory }) {
    const server = new Server(needs);
    server.folder = mkdtempSync(join(tmpdir(), "hostile-"));
    [server.port, server.adminPort] = await Promise.all([freePort(), freePort()]);
    server.#spawn(programs, memory);
    try {
      await server.#ready();
    } catch (error) {
      await server.stop();
      throw error;
    }
    if (!server.isStandalone) server.control = io(`${server.url}/control`, { transports: ["websocket"], forceNew: true });
    return server;
  }

  constructor(needs) {
    Object.assign(this, { needs, stderr: needs.stderr ?? "read", log: "", lines: 0, bounds: new Map(), peak: { rss: 0, size: 0 } });
  }

  get isStandalone() { return this.needs.program !== "interop-server"; }
  get isUp() { return this.child.exitCode === null && this.child.signalCode === null; }
  get url() { return `${this.needs.tls ? "https" : "http"}://127.0.0.1:${this.port}`; }

  /** How it ended. */
  get end() { return this.child.signalCode ?? `status ${this.child.exitCode}`; }

  #spawn(programs, memory) {
    const limits = [`--nofile=${this.needs.files ?? FILES}`];
    if (memory) limits.push(`--as=${memory}`);
    const port = String(this.port);
    const command = this.isStandalone
      ? [programs.sockeye, "--config", CONFIGURATION, "--port", port]
      : [programs.interopServer, "--port", port, ...(this.needs.flags ?? [])];
    const full = this.stderr === "full" ? openSync("/dev/full", "w") : null;
    this.child = spawn("prlimit", [...limits, "--", ...command], {
      env: { ...process.env, TOKIO_WORKER_THREADS: "2", NO_COLOR: "1", ...this.#environment() },
      stdio: ["ignore", "ignore", full ?? "pipe"],
    });
    if (full !== null) closeSync(full);
    // It does not outlive this process.
    const kill = () => this.child.kill("SIGKILL");
    process.once("exit", kill);
    this.ended = new Promise((resolve) => this.child.once("exit", resolve)).then(() => process.off("exit", kill));
    if (this.stderr === "read") this.child.stderr.on("data", (data) => this.#readLog(data));
  }

  #environment() {
    if (!this.isStandalone) return {};
    const tls = this.needs.tls ? this.#certificate() : {};
    return { SOCKEYE__ADMIN__LISTEN: `127.0.0.1:${this.adminPort}`, ...tls, ...this.needs.environment };
  }

  #certificate() {
    const [cert, key] = [join(this.folder, "cert.pem"), join(this.folder, "key.pem")];
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
    return { SOCKEYE__SERVER__TLS__CERT: cert, SOCKEYE__SERVER__TLS__KEY: key };
  }

  #readLog(data) {
    const text = data.toString();
    this.lines += text.split("\n").length - 1;
    this.log = (this.log + text).slice(-4000);
    for (const [, bound] of text.matchAll(/limit reached.*?bound"?[=:]"(\w+)"/g)) {
      this.bounds.set(bound, (this.bounds.get(bound) ?? 0) + 1);
    }
  }

  async #ready() {
    for (let tries = 0; tries < 500; tries += 1) {
      if (!this.isUp) throw new Error(`the server ended before it listened: ${this.end}\n${this.log}`);
      if (await isListening(this.port)) return;
      await sleep(20);
    }
    throw new Error(`the server does not listen\n${this.log}`);
  }

  /** Nobody reads its standard error from now on. */
  closeLog() { this.child.stderr.destroy(); }

  /** Bytes of memory now: resident, and of address space. The peaks are kept. */
  memory() {
    let status;
    try {
      status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    } catch {
      return null;
    }
    const value = (name) => 1024 * Number(status.match(new RegExp(`^${name}:\\s+(\\d+)`, "m"))?.[1] ?? 0);
    this.peak.rss = Math.max(this.peak.rss, value("VmHWM"));
    this.peak.size = Math.max(this.peak.size, value("VmPeak"));
    return { rss: value("VmRSS"), size: value("VmSize") };
  }

  /** A GET on the listener for operators; the status, or null after `ms`. */
  async admin(path, ms = 5000) {
    const started = Date.now();
    const answer = await get(this.adminPort, path, ms);
    return { ...answer, ms: Date.now() - started };
  }

  /** All counters: of the standalone server from /metrics, of the other one as it says itself, or else the bounds in its log. */
  async counters() {
    if (!this.isStandalone) {
      const told = await this.control?.timeout(3000).emitWithAck("metrics").catch(() => null);
      if (!told) this.control?.disconnect();
      return new Map(told ? Object.entries(told) : this.bounds);
    }
    const { text } = await this.admin("/metrics", 3000);
    const found = new Map();
    for (const [, name, label, value] of (text ?? "").matchAll(/^sockeye_(\w+)_total(?:\{\w+="([^"]*)"\})? (\d+)$/gm)) {
      found.set(label === undefined ? name : name === "bound_reached" ? label : `${name}: ${label}`, Number(value));
    }
    return found;
  }

  /** What was counted since `before`, without ordinary traffic. */
  async counted(before) {
    const counted = {};
    for (const [name, value] of await this.counters()) {
      const more = value - (before.get(name) ?? 0);
      if (more > 0 && !ORDINARY.test(name)) counted[name] = more;
    }
    return counted;
  }

  async stop() {
    this.control?.disconnect();
    this.child.kill("SIGKILL");
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A port that nobody listens on. */
function freePort() {
  return new Promise((resolve, reject) => {
    const listener = net.createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

function isListening(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    const end = (is) => { socket.destroy(); resolve(is); };
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

function get(port, path, ms) {
  return new Promise((resolve) => {
    const request = http.get({ host: "127.0.0.1", port, path, timeout: ms, agent: false }, (response) => {
      let text = "";
      response.on("data", (data) => { text += data; });
      response.on("end", () => resolve({ status: response.statusCode, text }));
      response.on("error", () => resolve({ status: null }));
    });
    const late = setTimeout(() => request.destroy(), ms);
    request.on("error", () => resolve({ status: null }));
    request.on("close", () => { clearTimeout(late); resolve({ status: null }); });
  });
}
