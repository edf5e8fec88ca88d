// One attack on one server: what the neighbours feel before and meanwhile, what the server takes, and what is wrong about it.

import { io } from "socket.io-client";
import { size } from "./figures.mjs";
import { Helper } from "./helper.mjs";
import { Server } from "./server.mjs";
import { sleep } from "./wire.mjs";

/** Where neighbours, new clients, and members of rooms come from. */
const NEIGHBOUR = "127.0.0.3";
const MEMBER = "127.0.0.4";
/** Neighbours: one for each of the server's threads. */
const NEIGHBOURS = 2;
/** How long a new client may take. */
const VISIT = 5000;
/** How often memory is looked at. */
const LOOK = 50;
/** The most that the neighbours' 99th percentile may grow, and what it may be in any case, in milliseconds. */
const TIMES = 3;
const FLOOR = 25;
/** The most that may be logged in a second. */
const LINES = 20;

/** The lengths of the phases, in seconds. */
export const LONG = { quiet: 5, attack: 8, after: 5 };
export const SHORT = { quiet: 0.2, attack: 2, after: 0.2 };

/** Runs the attack; what came of it, with `problems`, a list. */
export async function attempt(attack, options) {
  const result = { name: attack.name, about: attack.about, bound: attack.bound, wire: 0, counted: {}, problems: [] };
  const trial = new Trial(attack, options, result);
  try {
    await trial.run();
  } catch (error) {
    result.problems.push(error.message.split("\n").slice(0, 4).join("\n"));
  } finally {
    await trial.stop();
  }
  result.isUp = trial.server?.isUp ?? false;
  return result;
}

class Trial {
  constructor(attack, options, result) {
    Object.assign(this, { attack, options, result, lengths: options.lengths, helpers: [] });
  }

  async run() {
    const { attack, result, lengths } = this;
    this.server = await Server.start(attack.server ?? {}, this.options);
    const neighbours = await this.#help("neighbour.mjs", { address: NEIGHBOUR, count: NEIGHBOURS, namespace: "/custom" });
    const members = attack.members && await this.#help("members.mjs", { address: MEMBER, ...attack.members });
    await neighbours.ask({ finish: true }, "figures");
    await sleep(lengths.quiet * 1000);
    const quiet = await neighbours.ask({ finish: true }, "figures");
    const before = this.server.memory();
    const counters = await this.server.counters();
    attack.begin?.(this.server);

    const looking = setInterval(() => this.server.memory(), LOOK);
    const visits = this.#visit();
    const logged = this.server.lines;
    const checked = this.#check();
    await this.#attack();
    visits.end();
    const during = await neighbours.ask({ finish: true }, "figures").catch(() => null);
    // What the end of the attacker's connections brings about is not the attack's.
    result.counted = await this.server.counted(counters);
    result.logged = this.server.lines - logged;
    result.problems.push(...await checked);
    this.attacker.tell({ go: true });
    await this.attacker.gone;
    result.visitors = await visits.result;
    await sleep(lengths.after * 1000);
    const after = this.server.memory();
    if (members) result.members = await countMembers(members);
    clearInterval(looking);
    const isServed = this.server.isUp && await neighbours.ask({ isServed: VISIT }, "served").catch(() => false);

    result.memory = { before: before.rss, peak: this.server.peak.rss, after: after?.rss ?? null, size: this.server.peak.size };
    result.neighbour = worst(quiet, during);
    this.#judge(isServed);
  }

  async #attack() {
    const { server, result, lengths } = this;
    this.attacker = new Helper("attacker.mjs", {
      name: this.attack.name, port: server.port, adminPort: server.adminPort, seconds: lengths.attack,
    });
    this.helpers.push(this.attacker);
    const { sent, open, note, error } = await this.attacker.next("finished", lengths.attack * 1000 + 20_000);
    Object.assign(result, { wire: sent, open, note });
    if (error) result.problems.push(`the attack failed: ${error}`);
  }

  /** What the attack says of its own must hold a second after it began. */
  async #check() {
    if (!this.attack.check) return [];
    await sleep(1000);
    return this.attack.check(this.server);
  }

  async #help(file, options) {
    const helper = new Helper(file, { url: this.server.url, ...options }, { isMeasuring: file === "neighbour.mjs" });
    this.helpers.push(helper);
    await helper.next("ready", 10_000);
    return helper;
  }

  /** Connects a new client every second, from now on until `end` is called. */
  #visit() {
    const { server, attack } = this;
    const tries = [];
    const namespace = typeof attack.visitors === "function" ? attack.visitors : () => "/custom";
    const one = () => {
      if (attack.visitors !== false) tries.push(visit(server.url + namespace(tries.length)));
    };
    // The first one when the attack has had a moment.
    const first = setTimeout(one, 500);
    const timer = setInterval(one, 1000);
    let finish;
    const result = new Promise((resolve) => { finish = resolve; });
    const end = async () => {
      clearTimeout(first);
      clearInterval(timer);
      const answers = await Promise.all(tries);
      const refused = answers.find((answer) => answer !== true);
      finish({ tried: answers.length, served: answers.filter((answer) => answer === true).length, refused });
    };
    return { end, result };
  }

  #judge(isServed) {
    const { server, attack, result, options } = this;
    const { problems, neighbour, visitors, members } = result;
    if (!server.isUp) problems.push(`the server ended: ${server.end} ${lastLine(server.log)}`.trim());
    if (neighbour.lost) problems.push(`a neighbour lost its connection ${neighbour.lost} times`);
    if (!isServed) problems.push("the neighbours are not served afterwards");
    if (visitors.served < visitors.tried) {
      problems.push(`${visitors.tried - visitors.served} of ${visitors.tried} new clients were not served: ${visitors.refused}`);
    }
    if (members?.closed) problems.push(`${members.closed} of ${members.of} members of the room were closed`);
    if (attack.most && server.peak.rss > attack.most) problems.push(`the server took more than ${size(attack.most)} of memory`);
    if (options.memory && server.peak.rss > options.memory * 0.95) problems.push("the server used up its memory");
    const lines = result.logged / this.lengths.attack;
    if (lines > LINES) problems.push(`${Math.round(lines)} lines a second were logged`);
    const most = Math.max(FLOOR, TIMES * neighbour.quiet.p99);
    if (!options.isShort && (neighbour.during?.p99 ?? Infinity) > most) {
      problems.push(`the neighbours' p99 was ${Math.round(neighbour.during?.p99)} ms, more than ${Math.round(most)}`);
    }
  }

  async stop() {
    await Promise.all(this.helpers.map((helper) => helper.stop()));
    // How it was before this end is what counts.
    const isUp = this.server?.isUp;
    await this.server?.stop();
    if (this.server) Object.defineProperty(this.server, "isUp", { value: isUp });
  }
}

/** How many members were closed, when they have read all that they were sent: only then do they see that they are. */
async function countMembers(members) {
  let last = null;
  for (let asked = 0; asked < 12; asked += 1) {
    const counted = await members.ask({ count: true }, "members").catch(() => null);
    if (!counted || counted.received === last?.received) return counted;
    last = counted;
    await sleep(500);
  }
  return last;
}

/** The figures of the neighbour that felt most of the attack, and what all of them lost. */
function worst(quiet, during) {
  const at = (during ?? quiet).reduce((most, figures, n, all) => (figures.p99 > all[most].p99 ? n : most), 0);
  const sum = (key) => (during ?? []).reduce((total, figures) => total + figures[key], 0);
  return { quiet: quiet[at], during: during?.[at] ?? null, lost: sum("lost"), unanswered: sum("unanswered") };
}

/** Connects as a new client would; true, or why it could not. */
function visit(url) {
  return new Promise((resolve) => {
    const socket = io(url, {
      transports: ["websocket"], localAddress: NEIGHBOUR, rejectUnauthorized: false, forceNew: true, reconnection: false, timeout: VISIT,
    });
    const end = (answer) => {
      clearTimeout(timer);
      socket.disconnect();
      socket.io.engine?.close();
      resolve(answer);
    };
    const timer = setTimeout(end, VISIT, `no answer within ${VISIT} ms`);
    socket.once("connect", () => end(true));
    socket.once("connect_error", (error) => end(error.description?.message ?? error.message));
  });
}

function lastLine(log) {
  return log.trim().split("\n").at(-1).slice(0, 200);
}
