// Writes the golden vectors of Socket.IO packets with the official parsers, into crates/protocol/tests/data.
//
//     npm install --no-save socket.io-parser@4.2.7 socket.io-msgpack-parser@3.0.2
//     node socket.mjs
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const json = require("socket.io-parser");
const msgpack = require("socket.io-msgpack-parser");

const [CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR] = [0, 1, 2, 3, 4];
const bytes = (...values) => Buffer.from(values);
const event = (...data) => ({ type: EVENT, data, nsp: "/" });

const packets = [
  { type: CONNECT, nsp: "/" },
  { type: CONNECT, nsp: "/admin" },
  { type: CONNECT, data: { sid: "oSO0OpakMV_3jnilAAAA" }, nsp: "/" },
  { type: CONNECT, data: { token: "123", nested: { list: [1, null] } }, nsp: "/admin" },
  { type: DISCONNECT, nsp: "/" },
  { type: DISCONNECT, nsp: "/admin" },
  { type: CONNECT_ERROR, data: { message: "Not authorized" }, nsp: "/" },
  { type: CONNECT_ERROR, data: { message: "x", data: { content: "Please retry" } }, nsp: "/admin" },
  { type: CONNECT_ERROR, data: "Not authorized", nsp: "/" },
  event("hello"),
  event("hello", 1),
  { type: EVENT, data: ["hello", 1], nsp: "/admin", id: 456 },
  { type: EVENT, data: ["hello"], nsp: "/\u00e9\u65e5", id: 0 },
  { type: EVENT, data: ["hello"], nsp: "/", id: Number.MAX_SAFE_INTEGER },
  { type: ACK, data: [], nsp: "/", id: 0 },
  { type: ACK, data: ["bar", { a: [1] }], nsp: "/admin", id: 456 },
  event(1, "numeric name"),
  event(1.5),
  event("with \"quotes\" \\ and \n\u0001\u007f\u2028", ""),
  event("\u65e5\u672c\u8a9e \ud83d\ude00", "e\u0301"),
  event("name ".repeat(20)),
  event("null", null, true, false),
  event("integers", 0, 1, -1, 31, 32, -32, -33, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65536),
  event("integers", 2147483647, 2147483648, -2147483648, -2147483649, 4294967295, 4294967296, 9007199254740991, -9007199254740991),
  event("fractions", 0.1, -0.1, 1.5, 123456.789, 0.30000000000000004, 1e-4, 1e-5, 1e-6, 1e-7, 1.25e-7, 5e-324, -2.5e-300),
  event("strings", "", "a", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "\u00e9".repeat(40)),
  event("arrays", [], [1, [2, [3]]], Array(15).fill(0), Array(16).fill(0), Array(300).fill("")),
  event("objects", {}, { a: 1, b: { c: [] } }, Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`k${n}`, n]))),
  event("keys", { "": 1, "a\"b": 2, "\u0000": 3, "\u65e5": 4, constructor: 5, _placeholder: true }),
  event("binary", bytes(1, 2, 3)),
  event("binary", bytes()),
  { type: EVENT, data: ["binary", { a: bytes(0, 255), b: [bytes(1), { c: bytes(2) }] }, "end"], nsp: "/admin", id: 7 },
  { type: ACK, data: [bytes(1, 2, 3)], nsp: "/", id: 1 },
  event("binary", ...Array.from({ length: 10 }, (_, n) => bytes(n))),
  event("binary", Buffer.alloc(255, 1), Buffer.alloc(256, 2)),
];
// Numbers whose form in MessagePack is the parser's own mistake, or that it has no form for.
const onlyJson = [event("large", 1e15, 1e16, 1e20, 1e21, -1e21, 1.5e300, 1.7976931348623157e308, 123456789012345680000)];

function tagged(value) {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") return { n: String(value) };
  if (typeof value === "string") return { s: value };
  if (Buffer.isBuffer(value)) return { b: value.toString("base64") };
  if (Array.isArray(value)) return { a: value.map(tagged) };
  return { o: Object.entries(value).map(([key, member]) => [key, tagged(member)]) };
}

const message = (encoded) => (typeof encoded === "string" ? encoded : { b: Buffer.from(encoded).toString("base64") });
const vector = (packet, withMsgpack) => {
  const described = { type: packet.type, nsp: packet.nsp, id: packet.id, data: packet.data === undefined ? undefined : tagged(packet.data) };
  // The encoder changes the packet that it is given.
  const inJson = new json.Encoder().encode({ ...packet }).map(message);
  return { packet: described, json: inJson, msgpack: withMsgpack ? message(new msgpack.Encoder().encode(packet)[0]) : undefined };
};

const vectors = [...packets.map((packet) => vector(packet, true)), ...onlyJson.map((packet) => vector(packet, false))];
const file = new URL("../../crates/protocol/tests/data/socket_packets.json", import.meta.url);
writeFileSync(file, `[\n${vectors.map((entry) => JSON.stringify(entry)).join(",\n")}\n]\n`);
