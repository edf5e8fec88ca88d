// Writes the golden vectors of Engine.IO payloads with the official parsers, into crates/protocol/tests/data.
//
//     npm install --no-save engine.io-parser@5.2.3 engine.io-parser-v3@npm:engine.io-parser@2.2.1
//     node engine.mjs
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const v4 = require("engine.io-parser");
const v3 = require("engine.io-parser-v3");

const text = (type, data) => (data === undefined ? { type } : { type, data });
const binary = (hex) => ({ type: "message", data: Buffer.from(hex, "hex") });

// What is encoded: every kind, every width of character, empty data, both orders of text and binary.
const payloads = [
  [text("open", '{"sid":"x","upgrades":["websocket"]}')],
  [text("close")],
  [text("ping")],
  [text("ping", "probe")],
  [text("pong", "probe")],
  [text("upgrade")],
  [text("noop")],
  [text("message", "")],
  [text("message", "hello")],
  [text("message", "€uro ñ 文字 😀")],
  [text("message", "a\u0000b\nc\"d\\e")],
  [text("message", "1:2:3")],
  [text("message", "b4AQID")],
  [text("message", "x".repeat(123))],
  [text("message", "a"), text("message", "€"), text("ping"), text("message", "😀b")],
  [binary("")],
  [binary("01020304")],
  [binary("fffefd1e00")],
  [binary("04")],
  [text("message", "first €"), binary("00ff")],
  [binary("00ff"), text("message", "last €")],
  [text("noop"), binary("01"), text("message", "😀"), binary("0203"), text("close")],
];

// What is decoded besides: what a client may get wrong, and what is merely unusual.
const v4Bodies = [
  "", "4", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b", "4a\x1e4b\x1e4c", "7", "4a\x1e9\x1e4b", "a", "ba", "b", "bAQID", "bAQ", "bAQ==", "b-_8=",
  "bAQ\nID", "B", " 4", "4\u00e9", "\u00e94", "0", "1", "2probe", "3probe", "5", "6", "44", "1\x1e4late", "4a\x1ebAAE=\x1e4b",
];
const v3TextBodies = [
  "", ":", "1:", "2:4", "2:4ab", "3:4ab", "03:4ab", "a:4a", "1a:4", "0:", "0:0:1:6", "1:6", "1:7", "1:61:6", "1:61", "2:4€", "3:4😀", "2:2p",
  "6:2probe", "6:b4AQID", "5:b4AQI", "2:b4", "3:4a:", "1:66:2probe", "-1:", "10:4", "2:4a2:4b3:4", "1:11:6",
];
const v3BinaryBodies = [
  "", "00", "0002ff3461", "0001ff36", "0102ff0461", "0104ff04010203", "0002ff34610102ff0462", "0005ff34e282ac36", "00000002ff3461",
  "0001ff37", "0003ff34c3", "0004ff34e282", "0006ff623441514944", "0007ff62344151494421", "000100ff34616161616161616161", "0001", "01ff",
];

const kindAndData = ({ type, data }) =>
  typeof data === "object" ? { kind: type, hex: Buffer.from(data).toString("hex") } : { kind: type, text: data ?? "" };
const body = (data) => (typeof data === "string" ? { text: data } : { hex: Buffer.from(data).toString("hex") });

function decodeV4(data) {
  return result(v4.decodePayload(data));
}

function decodeV3(data) {
  const packets = [];
  v3.decodePayload(data, "nodebuffer", (packet) => void packets.push(packet));
  return result(packets);
}

function result(packets) {
  const at = packets.findIndex((packet) => packet.type === "error");
  return { packets: (at < 0 ? packets : packets.slice(0, at)).map(kindAndData), error: at >= 0 };
}

const encodeV4 = (packets) => {
  let encoded;
  v4.encodePayload(packets, (data) => (encoded = data));
  return { packets: packets.map(kindAndData), ...body(encoded) };
};
const encodeV3 = (packets, supportsBinary) => {
  let encoded;
  v3.encodePayload(packets, supportsBinary, (data) => (encoded = data));
  return { packets: packets.map(kindAndData), supports_binary: supportsBinary, ...body(encoded) };
};

const vectors = {
  v4: {
    encode: payloads.map(encodeV4),
    decode: v4Bodies.map((data) => ({ ...body(data), ...decodeV4(data) })),
  },
  v3: {
    encode: payloads.flatMap((packets) => [encodeV3(packets, false), encodeV3(packets, true)]),
    decode: [...v3TextBodies, ...v3BinaryBodies.map((hex) => Buffer.from(hex, "hex"))].map((data) => ({ ...body(data), ...decodeV3(data) })),
  },
};

const file = new URL("../../crates/protocol/tests/data/engine_payloads.json", import.meta.url);
const lines = (list) => list.map((item) => `      ${JSON.stringify(item)}`).join(",\n");
const part = (name) => `  "${name}": {\n    "encode": [\n${lines(vectors[name].encode)}\n    ],\n    "decode": [\n${lines(vectors[name].decode)}\n    ]\n  }`;
writeFileSync(file, `{\n${part("v4")},\n${part("v3")}\n}\n`);
