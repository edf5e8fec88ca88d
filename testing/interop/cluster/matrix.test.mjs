// Clusters of two Node.js servers and two of the server under test: each operation, adapter and direction, with text and binaries.
//
// The table of what passed is printed at the end; MATRIX_TABLE names a file for it.

import { after, before, describe, test } from "node:test";
import { writeFileSync } from "node:fs";
import { REFERENCE, TARGET, Target, until } from "../js/lib/target.mjs";
import { Redis } from "./lib/redis.mjs";
import { VALUES, WITH_VALUES, WITHOUT_VALUES, ask } from "./operations.mjs";

const ADAPTERS = {
  redis: ["--adapter", "redis"],
  "redis, version 7.2": ["--adapter", "redis"],
  "redis-sharded": ["--adapter", "redis-sharded"],
  "redis-sharded, static": ["--adapter", "redis-sharded", "--subscription-mode", "static"],
  "redis-sharded, dynamic-private": ["--adapter", "redis-sharded", "--subscription-mode", "dynamic-private"],
  "redis-streams": ["--adapter", "redis-streams"],
  "redis-streams, sharded": ["--adapter", "redis-streams", "--sharded-pubsub"],
};
// What the official servers have instead.
const OFFICIAL = { "redis, version 7.2": ["--adapter", "redis-7"] };
const chosen = process.env.MATRIX_ADAPTERS?.split(";") ?? Object.keys(ADAPTERS);
const DIRECTIONS = { "Node.js → Sockeye": [0, 2], "Sockeye → Node.js": [2, 0], "Sockeye → Sockeye": [2, 3] };

// By operation, then by adapter: how many directions passed.
const passed = new Map();

for (const adapter of chosen) {
  describe(adapter, () => {
    const nodes = [];
    let redis;

    before(async () => {
      redis = await Redis.start();
      for (const command of [REFERENCE, REFERENCE, TARGET, TARGET]) {
        const flags = (command === REFERENCE && OFFICIAL[adapter]) || ADAPTERS[adapter];
        const node = await Target.run(command, ...flags, "--url", redis.url);
        const [client, other] = [await node.connect(), await node.connect()];
        nodes.push({ node, client, other, nodes: 4 });
      }
      for (const { client } of nodes) {
        await until(async () => (await ask(client, "server-count"))[0] === 4, "the nodes do not know one another", 10_000);
      }
    });

    after(async () => {
      for (const { node } of nodes) await node.stop();
      await redis?.stop();
    });

    // The classic adapter writes what programs send one another as JSON. That it does so between two Node.js servers is checked, too.
    const isStringified = ADAPTERS[adapter].includes("redis");
    if (isStringified) {
      for (const [operation, run] of Object.entries(WITH_VALUES).filter(([name]) => name.startsWith("serverSideEmit"))) {
        test(`Node.js → Node.js: ${operation}, binary`, () => run({ from: nodes[0], to: nodes[1], value: VALUES.binary, isStringified }));
      }
    }

    let number = 0;
    for (const [direction, [from, to]] of Object.entries(DIRECTIONS)) {
      const check = (operation, name, run, value) => test(`${direction}: ${name}`, async () => {
        number += 1;
        await run({ from: nodes[from], to: nodes[to], value, room: `room-${number}`, isStringified });
        const row = passed.get(operation) ?? {};
        row[adapter] = (row[adapter] ?? 0) + 1;
        passed.set(operation, row);
      });
      for (const [operation, run] of Object.entries(WITH_VALUES)) {
        for (const [kind, value] of Object.entries(VALUES)) {
          check(operation, `${operation}, ${kind}`, run, value);
        }
      }
      for (const [operation, run] of Object.entries(WITHOUT_VALUES)) check(operation, operation, run);
    }
  });
}

after(() => {
  const directions = Object.keys(DIRECTIONS).length;
  const lines = [["", ...chosen], ["---", ...chosen.map(() => "---")]];
  for (const operation of [...Object.keys(WITH_VALUES), ...Object.keys(WITHOUT_VALUES)]) {
    const all = directions * (operation in WITH_VALUES ? Object.keys(VALUES).length : 1);
    lines.push([operation, ...chosen.map((adapter) => `${passed.get(operation)?.[adapter] ?? 0} of ${all}`)]);
  }
  const table = lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  console.log(table);
  if (process.env.MATRIX_TABLE) writeFileSync(process.env.MATRIX_TABLE, `${table}\n`);
});
