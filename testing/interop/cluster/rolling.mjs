// Rolling restarts: three nodes over a broker that recovers sessions, behind a load balancer that sends each request to the next one; official clients that do
// nothing but long-polling; each node in turn is asked to stop (SIGTERM) or killed, and comes back.
//
// Senders emit numbered messages to a room of all, and count one as sent when the server has acknowledged it. Every client must get every
// message that was sent, in the order of each sender, once. A client that was told that it is not recovered may have a gap there: that is
// counted as `told`, and anything else that is missing as a gap.

import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { io } from "socket.io-client";
import { sleep, until } from "../js/lib/target.mjs";
import { Balancer } from "./lib/balancer.mjs";
import { Nats } from "./lib/nats.mjs";
import { Redis } from "./lib/redis.mjs";
import { Sockeye } from "./lib/sockeye.mjs";

const DEFAULTS = {
  minutes: 10,
  clients: 300,
  senders: 3,
  /** Messages a second, of all senders together. */
  rate: 2,
  /** Seconds from the moment that a node is ready again until the next one is stopped. */
  pause: 10,
  balancer: "nginx",
  /** redis-streams, nats-jetstream or nats. */
  adapter: "redis-streams",
  /** SIGTERM, or SIGKILL. */
  signal: "SIGTERM",
};

/** Runs the drill; `restarts` ends it after so many instead of `minutes`. Gives what was counted. */
export async function roll(settings = {}, report = () => {}) {
  const drill = new Drill({ ...DEFAULTS, ...settings });
  try {
    await drill.start();
    return await drill.run(report);
  } finally {
    await drill.stop();
  }
}

class Drill {
  constructor(settings) {
    this.settings = settings;
    this.nodes = [];
    this.clients = [];
    this.restarts = 0;
  }

  async start() {
    const { adapter } = this.settings;
    const isNats = adapter.startsWith("nats");
    this.broker = await (isNats ? Nats.start() : Redis.start());
    for (let n = 0; n < 3; n += 1) {
      this.nodes.push(await Sockeye.start({
        SOCKEYE__CLUSTER__ADAPTER: adapter,
        [isNats ? "SOCKEYE__CLUSTER__NATS__URL" : "SOCKEYE__CLUSTER__REDIS__URL"]: this.broker.url,
        SOCKEYE__CLUSTER__PEERS__SECRET: "a secret of the nodes in this drill",
        SOCKEYE__LOG__LEVEL: "warn,sockeye=info",
      }));
    }
    await this.allAreReady();
    this.balancer = await Balancer.start(this.settings.balancer, this.nodes.map((node) => node.port));
    for (let n = 0; n < this.settings.clients + this.settings.senders; n += 1) {
      this.clients.push(new Client(this.balancer.url, n));
      if (n % 20 === 19) await this.allAreThere();
    }
    await this.allAreThere();
    this.senders = this.clients.slice(-this.settings.senders);
  }

  async run(report) {
    const { minutes, rate, senders, pause, restarts = Infinity } = this.settings;
    const started = Date.now();
    const end = restarts === Infinity ? started + minutes * 60_000 : Infinity;
    const ticking = setInterval(() => report(this.line(started)), 10_000);
    const sending = this.senders.map((sender) => sender.sendEach((1000 * senders) / rate));
    try {
      for (let turn = 0; Date.now() < end && turn < restarts; turn += 1) {
        await sleep(pause * 1000);
        const node = this.nodes[turn % this.nodes.length];
        await node.stop(this.settings.signal);
        await node.startAgain();
        await this.allAreReady();
        this.restarts += 1;
      }
      await sleep(pause * 1000);
    } finally {
      clearInterval(ticking);
      for (const sender of this.senders) sender.isSending = false;
      await Promise.all(sending);
    }
    const seconds = (Date.now() - started) / 1000;
    await this.allAreThere();
    const isThere = (client) => this.senders.every((sender) => sender === client || (client.last.get(sender.name) ?? -1) >= sender.lastSent);
    await until(() => this.clients.every(isThere), "the last messages do not come to all", 30_000).catch(() => {});
    return this.account(seconds);
  }

  async stop() {
    for (const client of this.clients) client.socket.disconnect();
    await this.balancer?.stop();
    for (const node of this.nodes) await node.stop();
    await this.broker?.stop();
  }

  async allAreReady() {
    for (const node of this.nodes) await until(async () => !(await node.problem()), "a node is not ready again", 30_000);
  }

  async allAreThere() {
    await until(() => this.clients.every((client) => client.isJoined), "not all clients are there", 60_000);
  }

  line(started) {
    const { sent, delivered, duplicates, reordered, gaps, told, reconnects, recovered } = this.account((Date.now() - started) / 1000);
    const there = this.clients.filter((client) => client.isJoined).length;
    return `${Math.round((Date.now() - started) / 1000)} s: ${there} of ${this.clients.length} clients there, ${this.restarts} restarts, `
      + `${sent} sent, ${delivered} delivered, ${duplicates} twice, ${reordered} out of order, ${gaps} gaps, ${told} told, `
      + `${reconnects} reconnects (${recovered} recovered)`;
  }

  account(seconds) {
    const sum = (of) => this.clients.reduce((total, client) => total + of(client), 0);
    let gaps = 0;
    let told = 0;
    for (const client of this.clients) {
      for (const sender of this.senders.filter((each) => each !== client)) {
        const got = client.got.get(sender.name) ?? new Set();
        const last = client.last.get(sender.name) ?? -1;
        for (const number of sender.sent) {
          // What comes after the last may be on its way.
          if (got.has(number) || (number > last && sender.isSending)) continue;
          if (client.wasTold(sender.times.get(number))) told += 1;
          else gaps += 1;
        }
      }
    }
    return {
      seconds: Math.round(seconds),
      clients: this.clients.length,
      restarts: this.restarts,
      sent: this.senders.reduce((total, sender) => total + sender.sent.length, 0),
      unanswered: this.senders.reduce((total, sender) => total + sender.unanswered, 0),
      delivered: sum((client) => client.delivered),
      duplicates: sum((client) => client.duplicates),
      reordered: sum((client) => client.reordered),
      gaps,
      told,
      reconnects: sum((client) => client.connects - 1),
      recovered: sum((client) => client.recovered),
      // Milliseconds.
      longestAway: Math.max(...this.clients.map((client) => client.longestAway)),
      longestSilence: Math.max(...this.clients.map((client) => client.longestSilence)),
    };
  }
}

/** A client that polls and comes back by itself. */
class Client {
  constructor(url, name) {
    Object.assign(this, { name, connects: 0, recovered: 0, delivered: 0, duplicates: 0, reordered: 0, longestAway: 0, longestSilence: 0 });
    // By sender: the numbers that came, and the greatest.
    this.got = new Map();
    this.last = new Map();
    /** When it was away and then told that it had missed something: from, to. */
    this.absences = [];
    this.sent = [];
    this.times = new Map();
    this.unanswered = 0;
    this.lastSent = -1;
    this.socket = io(url, { forceNew: true, transports: ["polling"], auth: { name: `n${name}`, color: "#123456" } });
    this.socket.on("connect", () => this.connected());
    this.socket.on("disconnect", () => { this.isJoined = false; this.awaySince = Date.now(); });
    this.socket.on("message", ({ from, number }) => this.take(from, number));
  }

  connected() {
    this.connects += 1;
    const now = Date.now();
    if (this.awaySince) this.longestAway = Math.max(this.longestAway, now - this.awaySince);
    if (this.socket.recovered) {
      this.recovered += 1;
      this.isJoined = true;
      return;
    }
    this.join();
  }

  join() {
    const { id } = this.socket;
    this.socket.timeout(10_000).emitWithAck("join", { room: "lobby" }).then(() => {
      if (this.socket.id !== id) return;
      // What was sent a moment before it left may have been on its way to it.
      if (this.awaySince) this.absences.push([this.awaySince - SLACK, Date.now() + SLACK]);
      this.isJoined = true;
    }, () => { if (this.socket.id === id) this.join(); });
  }

  take(from, number) {
    const now = Date.now();
    if (this.heardAt) this.longestSilence = Math.max(this.longestSilence, now - this.heardAt);
    this.heardAt = now;
    this.delivered += 1;
    const got = this.got.get(from) ?? new Set();
    this.got.set(from, got);
    if (got.has(number)) this.duplicates += 1;
    else if (number < (this.last.get(from) ?? -1)) this.reordered += 1;
    got.add(number);
    this.last.set(from, Math.max(number, this.last.get(from) ?? -1));
  }

  wasTold(time) {
    return this.absences.some(([from, to]) => time >= from && time <= to);
  }

  /** Sends until it is told to stop. What is not acknowledged is not sent again: nobody knows whether it was. */
  async sendEach(pace) {
    this.isSending = true;
    for (let number = 0; this.isSending; number += 1) {
      const next = Date.now() + pace;
      await until(() => this.isJoined || !this.isSending, "a sender does not come back", 60_000);
      const time = Date.now();
      try {
        await this.socket.timeout(10_000).emitWithAck("message", { room: "lobby", from: this.name, number });
        this.sent.push(number);
        this.times.set(number, time);
        this.lastSent = number;
      } catch {
        this.unanswered += 1;
      }
      await sleep(Math.max(0, next - Date.now()));
    }
  }
}

/** Milliseconds. */
const SLACK = 3000;

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const options = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, { type: "string" }]));
  const { values } = parseArgs({ options });
  const settings = Object.fromEntries(Object.entries(values).map(([name, text]) => [name, typeof DEFAULTS[name] === "string" ? text : Number(text)]));
  const summary = await roll(settings, (line) => console.log(line));
  console.table(summary);
  const failed = summary.duplicates + summary.reordered + summary.gaps;
  if (failed > 0) process.exitCode = 1;
}
