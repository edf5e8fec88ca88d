// The official parsers, and values in a form that can be compared.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const json = require("socket.io-parser");
const msgpack = require("socket.io-msgpack-parser");

const Binary = { is: (value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value) };

/** A value with its type and numbers as their bits; what JSON cannot say is null, as JSON.stringify has it. */
export function tagged(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? { n: bits(value) } : null;
  if (typeof value === "string") return { s: value.toWellFormed() };
  if (Binary.is(value)) return { b: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return { a: Array.from(value, tagged) };
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : { s: value.toISOString() };
  const members = new Map();
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) members.set(key.toWellFormed(), tagged(member));
  }
  return { o: [...members] };
}

function bits(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(number);
  return bytes.toString("hex");
}

/** Members in one order, whatever order they came in. */
export function sorted(value) {
  if (value === null || typeof value !== "object") return value;
  if (value.a) return { a: value.a.map(sorted) };
  if (value.o) {
    const members = value.o.map(([key, member]) => [key, sorted(member)]);
    return { o: members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)) };
  }
  return value;
}

/** What the official parser makes of the messages of one connection. */
export function decode(parser, messages, options) {
  const packets = [];
  const decoder = parser === "json" ? new json.Decoder(options) : new msgpack.Decoder();
  decoder.on("decoded", (packet) => {
    const { type, nsp, id, data } = packet;
    packets.push({ type, nsp: nsp.toWellFormed(), id, data: data === undefined ? null : tagged(data), raw: data });
  });
  try {
    for (const message of messages) {
      decoder.add(typeof message === "string" ? message : Buffer.from(message.binary, "base64"));
    }
  } catch (error) {
    return { error: error.message };
  }
  return { packets, pending: Boolean(decoder.reconstructor) };
}

/** What the official encoder sends for a packet. */
export function encode(parser, packet) {
  const encoder = parser === "json" ? new json.Encoder() : new msgpack.Encoder();
  return encoder.encode(packet).map((message) => (typeof message === "string" ? message : binary(message)));
}

export function binary(bytes) {
  return { binary: Buffer.from(bytes).toString("base64") };
}
