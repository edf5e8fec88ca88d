// Runs the attacks, one after the other, each on a server of its own, and says what came of them.
//
// --only NAME,…            these attacks only
// --list                   name the attacks
// --short                  short attacks, and no judgement of times: for machines that do other things too
// --server PATH            the standalone server; default: target/release/sockeye
// --interop-server PATH    the server of the interop suites; default: target/release/interop-server
// --memory BYTES           the server's address space, 0 for no limit; default: 1 GiB
// --seconds N              how long each attack is
// --json FILE              writes all figures there
// --table [FILE]           writes the table, by default into the guide, docs/src/threat-model.md
//
// The last line is `N passed, M failed, 0 skipped`. The status is 0 if the server stood all attacks: it is up, the neighbours were
// never disconnected and are served, new clients were served, no member of a flooded room was closed, and in the long form the
// neighbours' 99th percentile is at most 3 times the quiet one, or 25 ms.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { attacks } from "./attacks/index.mjs";
import { fill, paragraph, table } from "./lib/report.mjs";
import { attempt, LONG, SHORT } from "./lib/trial.mjs";

const root = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const release = process.env.CARGO_TARGET_DIR ? `${process.env.CARGO_TARGET_DIR}/release` : root("target/release");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
    short: { type: "boolean", default: false },
    server: { type: "string", default: `${release}/sockeye` },
    "interop-server": { type: "string", default: `${release}/interop-server` },
    memory: { type: "string", default: String(2 ** 30) },
    seconds: { type: "string" },
    json: { type: "string" },
    table: { type: "boolean", default: false },
  },
});

if (values.help) {
  const header = readFileSync(fileURLToPath(import.meta.url), "utf8").split("\n\n", 1)[0];
  console.log(header.replaceAll(/^\/\/ ?/gm, ""));
  process.exit(0);
}

const names = values.only?.split(",");
const unknown = names?.filter((name) => !attacks.some((attack) => attack.name === name)) ?? [];
if (unknown.length) {
  console.error(`there is no attack ${unknown.join(", ")} (see --list)`);
  process.exit(2);
}
const chosen = names ? attacks.filter(({ name }) => names.includes(name)) : attacks;
if (values.list) {
  for (const { name, about } of chosen) console.log(`${name.padEnd(20)} ${about}`);
  process.exit(0);
}

const lengths = { ...(values.short ? SHORT : LONG) };
if (values.seconds) lengths.attack = Number(values.seconds);
const options = {
  programs: { sockeye: values.server, interopServer: values["interop-server"] },
  memory: Number(values.memory),
  isShort: values.short,
  lengths,
};

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

const results = [];
for (const attack of chosen) {
  const started = Date.now();
  const result = await attempt(attack, options);
  result.seconds = Math.round((Date.now() - started) / 1000);
  results.push(result);
  console.log(paragraph(result));
  if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
}
if (values.table) fill(positionals[0] ?? root("docs/src/threat-model.md"), table(results));
const failed = results.filter(({ problems }) => problems.length).length;
console.log(`${results.length - failed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
