// Runs the comparison; see README.md.
import { spawnSync } from "node:child_process";
import { isDeepStrictEqual, parseArgs } from "node:util";

import { handWritten } from "./cases.mjs";
import { differences } from "./differences.mjs";
import { generate } from "./generate.mjs";
import { decode, sorted } from "./official.mjs";

const { values: options } = parseArgs({
  options: {
    decoder: { type: "string" },
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "20000" },
    show: { type: "string", default: "10" },
    known: { type: "boolean", default: false },
  },
});

const connections = [...handWritten(), ...generate(Number(options.seed), Number(options.count))];
const answers = ask(connections);
const used = new Map(differences.map(({ name }) => [name, 0]));
const unexplained = [];
let accepted = 0;

connections.forEach((connection, index) => {
  const official = decode(connection.parser, connection.messages);
  const ours = answers[index];
  if (ours.packets?.length > 0) accepted += 1;
  const problem = compare(official, ours);
  if (!problem) return;
  const known = differences.find(({ when }) => when(connection, official, ours));
  if (known) {
    used.set(known.name, used.get(known.name) + 1);
    if (options.known) console.log(`${known.name}: ${problem}: ${JSON.stringify(connection.messages).slice(0, 200)} ${ours.error ?? ""}`);
  } else {
    unexplained.push({ problem, connection, official, ours });
  }
});

for (const { problem, connection, official, ours } of unexplained.slice(0, Number(options.show))) {
  const show = (value) => JSON.stringify(value, (key, member) => (key === "raw" ? undefined : member))?.slice(0, 1500);
  console.error(`difference: ${problem}\n  messages ${show(connection)}\n  official ${show(official)}\n  ours     ${show(ours)}`);
}
const idle = [...used].filter(([, count]) => count === 0).map(([name]) => name);
for (const name of idle) console.error(`nothing differs any more by: ${name}`);
const known = [...used.values()].reduce((sum, count) => sum + count, 0);
console.log(
  `differential: ${connections.length} connections, ${accepted} with packets, ${known} known differences of ` +
    `${differences.length} kinds, ${unexplained.length} unexplained (seed ${options.seed})`,
);
process.exitCode = unexplained.length > 0 || idle.length > 0 ? 1 : 0;

/** What differs, or nothing. */
function compare(official, ours) {
  if (Boolean(official.error) !== Boolean(ours.error)) return official.error ? "only we accept" : "only we refuse";
  if (official.error) return undefined;
  if (official.packets.length !== ours.packets.length || official.pending !== ours.pending) return "number of packets";
  for (const [index, theirs] of official.packets.entries()) {
    const packet = ours.packets[index];
    if (!samePacket(theirs, packet)) return "packet";
    // notepack.io sets the prototype instead of reading such a key.
    const lossy = JSON.stringify(theirs.data).includes('"__proto__"');
    for (const [parser, messages] of [["json", packet.json], ["msgpack", [packet.msgpack]]]) {
      if (parser === "msgpack" && lossy) continue;
      // What the official encoder makes of binaries by the dozen is not accepted by the official decoder either.
      const again = decode(parser, messages, { maxAttachments: 10_000 });
      if (!again.packets || again.packets.length !== 1) {
        // A refusal without data has no form in MessagePack.
        if (theirs.type === 4 && theirs.raw === undefined) continue;
        return `written again in ${parser}: ${again.error ?? "no packet"}`;
      }
      if (!samePacket(again.packets[0], theirs, parser === "msgpack")) {
        return `written again in ${parser}`;
      }
    }
  }
  return undefined;
}

function samePacket(a, b, looseZero = false) {
  const form = ({ type, nsp, id, data }) => {
    const normal = { type, nsp, id: id === undefined || id === null ? null : id + 0, data: sorted(withData(type, data)) };
    // notepack.io has no -0, and a whole number is written as an integer.
    return looseZero ? JSON.parse(JSON.stringify(normal).replaceAll('"8000000000000000"', '"0000000000000000"')) : normal;
  };
  return isDeepStrictEqual(form(a), form(b));
}

/** An acknowledgement without data has no arguments. */
function withData(type, data) {
  return type === 3 && data === null ? { a: [] } : data;
}

function ask(connections) {
  const input = connections.map(({ parser, messages }) => JSON.stringify({ parser, messages })).join("\n");
  const run = spawnSync(options.decoder, { input, encoding: "utf8", maxBuffer: 1 << 30 });
  if (run.status !== 0) throw new Error(`the decoder failed: ${run.error ?? run.stderr}`);
  const answers = run.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  if (answers.length !== connections.length) throw new Error("an answer is missing");
  return answers;
}
