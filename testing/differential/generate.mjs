// Connections made from a seed: valid ones, in odd spellings, cut off, and with characters or bytes changed.
import { binary, encode } from "./official.mjs";

/** Numbers from 0 to 1, the same for the same seed (a 32-bit xorshift with a multiplication). */
function random(seed) {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return (Math.imul(state, 0x2c1b3c6d) >>> 0) / 2 ** 32;
  };
}

export function* generate(seed, count) {
  const next = random(seed);
  const below = (limit) => Math.floor(next() * limit);
  const pick = (list) => list[below(list.length)];
  const chance = (probability) => next() < probability;
  const tools = { below, pick, chance };
  for (let index = 0; index < count; index += 1) {
    const parser = chance(0.6) ? "json" : "msgpack";
    if (parser === "json" && chance(0.4)) {
      yield { parser, messages: mutated(tools, [oddText(tools)], chance(0.3)) };
      continue;
    }
    const messages = encode(parser, packet(tools, parser));
    yield { parser, messages: mutated(tools, messages, chance(0.5)) };
  }
}

const names = ["a", "message", "connect", "disconnect", "\u00e9v\u00e9nement", "\ud83d\ude00", "__proto__", "", "with \"quotes\"", "\u0000\u001f", "x".repeat(40), 7, 1.5, "\ud800"];
const namespaces = ["/", "/", "/", "/admin", "/a/b", "/\u65e5\u672c", "/a?b=1"];
const keys = ["a", "b", "key", "", "num", "_placeholder", "__proto__", "constructor", "toString", "1", "02", "\u00e9", "\ud83d\ude00", "a\"b", "\\", "\ud800", "length"];
const numbers = [0, -0, 1, -1, 127, 128, -32, -33, 255, 256, 65535, 65536, -128, -129, -32768, -32769, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -(2 ** 31), -(2 ** 31) - 1, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 0.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 2 ** 63, NaN, Infinity, 123.456, 1e15, 1e16];
const strings = ["", "a", "hello world", "\n\t\"\\/\b\f\r", "\u0000\u001f\u007f\u0080", "\u2028\u2029", "\ud83d\ude00", "\ud800", "\udc00x", "e\u0301", "\ufeff", "x".repeat(31), "x".repeat(32), "y".repeat(300), "\u65e5\u672c\u8a9e".repeat(20)];

function value({ below, pick, chance }, depth, binaries) {
  const self = () => value({ below, pick, chance }, depth + 1, binaries);
  const kind = below(depth > 4 ? 5 : 8);
  switch (kind) {
    case 0: return pick([null, true, false, undefined]);
    case 1: return pick(numbers);
    case 2: return pick(strings);
    case 3: return chance(0.5) ? below(2 ** 31) - 2 ** 30 : (below(2 ** 31) - 2 ** 30) / pick([3, 7, 1e5, 1e10, 1e-9]);
    case 4: return binaries && chance(0.7) ? Buffer.from(Array.from({ length: below(40) }, () => below(256))) : new Date(below(2 ** 31) * pick([1, 1000, -1000]));
    case 5: return Array.from({ length: below(chance(0.05) ? 40 : 5) }, self);
    default: {
      const object = {};
      for (let left = below(chance(0.05) ? 40 : 5); left > 0; left -= 1) {
        const key = chance(0.8) ? pick(keys) : `k${below(100)}`;
        // The official encoder loses objects with that key; oddText has it.
        if (key !== "__proto__") object[key] = self();
      }
      return object;
    }
  }
}

function packet(tools, parser) {
  const { below, pick, chance } = tools;
  const type = pick([0, 1, 2, 2, 2, 2, 3, 3, 4]);
  const made = { type, nsp: pick(namespaces) };
  const binaries = type === 2 || type === 3 || parser === "msgpack";
  const args = () => Array.from({ length: below(4) }, () => value(tools, 0, binaries && chance(0.5)));
  if (chance(0.4)) made.id = pick([0, 1, below(2 ** 31), 2 ** 53 - 1]);
  if (type === 0 && chance(0.7)) made.data = { token: value(tools, 1, binaries) };
  if (type === 2) made.data = [pick(names), ...args()];
  if (type === 3) made.data = args();
  if (type === 4) made.data = chance(0.3) ? pick(strings) : { message: value(tools, 2, binaries), data: value(tools, 2, binaries) };
  return made;
}

/** A packet's text with all the freedom that JSON leaves. */
function oddText(tools) {
  const { below, pick, chance } = tools;
  const space = () => (chance(0.1) ? pick([" ", "\t", "\n", "\r\n", "  "]) : "");
  const digits = () => String(below(10 ** (1 + below(9))));
  const number = () =>
    (chance(0.3) ? "-" : "") + digits().replace(/^0+(?=\d)/, "") + (chance(0.3) ? `.${digits()}` : "") +
    (chance(0.3) ? `${pick(["e", "E"])}${pick(["", "+", "-"])}${chance(0.2) ? digits() : below(30)}` : "");
  const character = () =>
    pick(["a", "b", "\u00e9", "\u65e5", "\ud83d\ude00", "\\\"", "\\\\", "\\/", "\\n", "\\t", "\\b", "\\f", "\\r", "\u007f", "\u2028",
      "\\u0061", "\\u00E9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u0000", "\\u005F"]);
  const string = () => `"${Array.from({ length: below(6) }, character).join("")}"`;
  const json = (depth) => {
    const list = (open, item, close) =>
      open + space() + Array.from({ length: below(5) }, () => space() + item() + space()).join(",") + close;
    switch (below(depth > 5 ? 3 : 6)) {
      case 0: return number();
      case 1: return string();
      case 2: return pick(["null", "true", "false", "-0", "1e400", "0.0", "1E5"]);
      case 3: return list("[", () => json(depth + 1), "]");
      default: return list("{", () => `${chance(0.5) ? JSON.stringify(pick(keys).toWellFormed()) : string()}${space()}:${space()}${json(depth + 1)}`, "}");
    }
  };
  const type = pick(["0", "2", "2", "2", "3", "3", "4"]);
  const head = type + pick(["", "", "/", "/a,", "/admin?x=1,", "/a"]) + (chance(0.3) ? digits() : "");
  if (type === "0" || type === "4") return head + json(1);
  const name = () => (chance(0.6) ? JSON.stringify(String(pick(names)).toWellFormed()) : chance(0.5) ? number() : string());
  const elements = [...(type === "2" ? [name()] : []), ...Array.from({ length: below(4) }, () => json(1))];
  return `${head}[${elements.map((element) => space() + element + space()).join(",")}]${space()}`;
}

/** The messages; some of them cut off, or with a few characters or bytes changed, doubled, taken out or put in. */
function mutated(tools, messages, change) {
  const { below, pick, chance } = tools;
  const wellFormed = messages.map((message) => (typeof message === "string" ? message.toWellFormed() : message));
  if (!change) return wellFormed;
  const result = [...wellFormed];
  if (chance(0.1)) result.splice(below(result.length), 1);
  else if (chance(0.1)) result.splice(below(result.length + 1), 0, pick(result));
  if (result.length === 0) return wellFormed;
  const index = chance(0.7) ? 0 : below(result.length);
  const message = result[index];
  if (typeof message === "string") {
    result[index] = changed(tools, [...message], () => pick([..."0123456789-+.,:/\"\\[]{}eEtfnu _ax\n"]), (units) => units.join("")).toWellFormed();
  } else {
    const bytes = [...Buffer.from(message.binary, "base64")];
    const one = () => (chance(0.5) ? below(256) : pick([0x00, 0x80, 0x90, 0x91, 0xa1, 0xc0, 0xc4, 0xc7, 0xcb, 0xd4, 0xd7, 0xdc, 0xdf, 0xff]));
    result[index] = changed(tools, bytes, one, (units) => binary(units));
  }
  return result;
}

function changed({ below, chance }, units, one, join) {
  if (chance(0.25)) return join(units.slice(0, below(units.length + 1)));
  for (let left = 1 + below(3); left > 0; left -= 1) {
    const at = below(units.length + 1);
    const kind = below(4);
    if (kind === 0) units.splice(at, 1);
    else if (kind === 1) units.splice(at, 0, one());
    else if (kind === 2) units.splice(at, 1, one());
    else units.splice(at, 0, ...units.slice(at, at + below(8)));
  }
  return join(units);
}
