// What came of the attacks: a paragraph for each on the terminal, and the table of the guide.

import { readFileSync, writeFileSync } from "node:fs";
import { size, time } from "./figures.mjs";

const BEGIN = "<!-- the table: written by testing/hostile/run --table -->";
const END = "<!-- the end of the table -->";

/** The result of one attack, for people. */
export function paragraph(result) {
  const { name, about, wire, memory, neighbour, visitors, members, note, problems, seconds } = result;
  const lines = [`${problems.length ? "FAILED" : "ok    "} ${name}: ${about} (${seconds} s)`];
  const say = (label, text) => lines.push(`       ${label.padEnd(12)} ${text}`);
  say("sent", [size(wire), note].filter(Boolean).join(", "));
  if (memory) {
    const [before, peak, after, space] = [memory.before, memory.peak, memory.after, memory.size].map(size);
    say("memory", `${before}, at most ${peak}, after ${after}; address space ${space}`);
  }
  if (neighbour) {
    const figures = (of) => (of ? `${time(of.p50)} / ${time(of.p99)} / ${time(of.max)}` : "-");
    const lost = neighbour.lost ? `, lost ${neighbour.lost} times` : "";
    say("neighbour", `p50 / p99 / max ${figures(neighbour.quiet)} ms, during the attack ${figures(neighbour.during)} ms${lost}`);
  }
  if (visitors?.tried) say("new clients", `${visitors.served} of ${visitors.tried} served`);
  if (members) say("members", `${members.closed} of ${members.of} closed, ${members.received} events received`);
  const counted = words(result.counted);
  if (counted) say("counted", counted);
  if (result.logged) say("logged", `${result.logged} lines`);
  for (const problem of problems) say("problem", problem);
  return lines.join("\n");
}

/** What was counted, in words. */
function words(counted) {
  return Object.entries(counted).map(([name, value]) => `${name} ${value}`).join(", ");
}

/** The table of the guide. */
export function table(results) {
  const rows = results.map((result) => {
    const { neighbour, memory, visitors, members } = result;
    const figures = (of) => (of ? `${time(of.p50)} / ${time(of.p99)}` : "-");
    const counted = Object.entries(result.counted).map(([name, value]) => `\`${name}\` ${value.toLocaleString("en-US")}`);
    if (visitors?.tried && visitors.served < visitors.tried) counted.push(`${visitors.served} of ${visitors.tried} new clients served`);
    if (members) counted.push(`${members.closed} of ${members.of} members closed`);
    if (neighbour?.lost) counted.push(`neighbours lost their connection ${neighbour.lost} times`);
    if (!result.isUp) counted.push("**the server ended**");
    return [
      `\`${result.name}\`: ${result.about}`,
      result.bound,
      size(result.wire),
      memory ? [memory.before, memory.peak, memory.after].map(size).join(" / ") : "-",
      figures(neighbour?.quiet),
      figures(neighbour?.during),
      counted.join(", "),
    ];
  });
  const head = [
    "attack", "what bounds it", "bytes sent", "server memory before / peak / after", "neighbour quiet, p50 / p99 ms", "during", "counted",
  ];
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Puts the table between its marks in a page. */
export function fill(file, text) {
  const page = readFileSync(file, "utf8");
  const [start, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${file} has no place for the table`);
  writeFileSync(file, `${page.slice(0, start + BEGIN.length)}\n\n${text}\n\n${page.slice(end)}`);
}
