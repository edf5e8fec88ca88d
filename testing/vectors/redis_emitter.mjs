// Writes the golden messages of the emitter for Redis with the official package, into crates/redis/tests/data.
//
//     npm install --no-save @socket.io/redis-emitter@5.1.0
//     node redis_emitter.mjs
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { Emitter } = require("@socket.io/redis-emitter");

const messages = [];
// All that the emitter wants of a client.
const client = {
  publish: (channel, message) =>
    messages.push(typeof message === "string" ? { channel, text: message } : { channel, hex: Buffer.from(message).toString("hex") }),
};
const io = new Emitter(client);
const chat = new Emitter(client, { key: "other" }, "/chat");
const bytes = (...values) => Buffer.from(values);

// What a value is once it has arrived, binaries in hexadecimal.
function arrived(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return { binary: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(arrived);
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, arrived(member)]));
}

function emit(...event) {
  io.emit(...event);
  messages.at(-1).event = arrived(event);
}

// Events: everything that arguments may be, in every width.
emit("none");
emit("plain", null, true, false, undefined, { a: undefined, b: 1 });
emit("integers", 0, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991);
emit("integers", -1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991);
emit("fractions", 0.1, -1.5, 1e-7, 5e-324);
emit("texts", "", "\u00e9".repeat(16), "x".repeat(31), "x".repeat(32), "x".repeat(256), "\ud83d\ude00 \"\\\n");
emit("nested", [], {}, [[1, [2]], { a: { b: [] } }], Array(16).fill(0), Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`k${n}`, n])));
emit("dates", new Date(1795512600000), new Date(1795512600500), new Date(-1), new Date(0));
emit("binary", bytes(), bytes(1, 2, 3), { a: [new Uint8Array([4])] }, new Uint8Array([5, 6]).buffer, Buffer.alloc(256, 7));
emit("dated binary", bytes(1), new Date(0));
emit(1.5, "the name is a number");
emit("mark", { _placeholder: true, num: 0 });

// Who gets them.
io.to("a").emit("e");
io.to(["a", "b"]).to("c").except(["x", "y"]).emit("e");
io.to(7).except("x").volatile.compress(false).emit("e");
io.compress(true).emit("e");
chat.to("a b#").emit("e", 1);

// Orders to sockets, and events for the servers.
io.socketsJoin("z");
io.to("a").except("b").socketsJoin(["y", "z"]);
io.in(["a", "b"]).socketsLeave("z");
io.disconnectSockets();
chat.to("a").disconnectSockets(true);
io.serverSideEmit("e");
chat.serverSideEmit("e", 1, { a: [null] });

const file = new URL("../../crates/redis/tests/data/emitter.json", import.meta.url);
writeFileSync(file, `[\n${messages.map((message) => JSON.stringify(message)).join(",\n")}\n]\n`);
