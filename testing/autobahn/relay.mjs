// Lets Autobahn's fuzzing client talk to an echo of Engine.IO, or to the standalone server, whose messages are Socket.IO's.
//
// usage: node relay.mjs engine|tcp|tls|h2 HOST:PORT
//
// Prints the address that it listens on. Frames pass one by one, as they are but for the payload of data frames: the first of a
// message gets the beginning of an event in front, the last one its end behind, and the answer loses both. So FIN, RSV, opcodes,
// fragments, control frames, broken UTF-8 and the end of the connection reach the server's own reader as the fuzzer made them, and
// what that reader says reaches the fuzzer. What cannot pass: compressed messages, whose offer is left out, and the pieces in which a
// single frame was sent.
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { Frames, frame, opcode } from "./frames.mjs";

const [kind, address] = process.argv.slice(2);
const [host, port] = address.split(":");
const isAlone = kind === "engine";
const path = `/${isAlone ? "engine" : "socket"}.io/?EIO=4&transport=websocket`;
const EVENT = '42["m","';
const BINARY = '451-["m",{"_placeholder":true,"num":0}]';

// The server's side of a connection, once its handshake is done, and the headers that the fuzzer gets for an answer.
async function connect(request) {
  if (kind === "h2") {
    const session = http2.connect(`https://${address}`, { rejectUnauthorized: false });
    session.on("error", () => {});
    await new Promise((resolve, reject) => session.once("remoteSettings", resolve).once("error", reject));
    const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": path, "sec-websocket-version": "13" });
    stream.once("close", () => session.close());
    const headers = await new Promise((resolve, reject) => stream.once("response", resolve).once("error", reject));
    if (headers[":status"] !== 200) throw new Error(`status ${headers[":status"]}`);
    return { stream, rest: Buffer.alloc(0), key: /^sec-websocket-key: *(.*)\r$/im.exec(request)[1] };
  }
  const options = { host, port, allowHalfOpen: true, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] };
  const stream = kind === "tls" ? tls.connect(options) : net.connect(options);
  stream.setNoDelay?.(true);
  await new Promise((resolve, reject) => stream.once(kind === "tls" ? "secureConnect" : "connect", resolve).once("error", reject));
  const lines = request.split("\r\n").filter((line) => !/^(sec-websocket-extensions|origin):/i.test(line));
  lines[0] = `GET ${path} HTTP/1.1`;
  stream.write(lines.join("\r\n"), "latin1");
  const [head, rest] = await readHead(stream);
  return { stream, rest, head };
}

// Reads up to the empty line behind the headers.
function readHead(stream) {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const take = (chunk) => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf("\r\n\r\n");
      if (end < 0) return;
      stream.off("data", take).pause();
      resolve([got.subarray(0, end + 4).toString("latin1"), got.subarray(end + 4)]);
    };
    stream.on("data", take).once("error", reject).once("end", () => reject(new Error("ended early")));
  });
}

async function accepted(key) {
  const { createHash } = await import("node:crypto");
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

// What JSON needs of a string's bytes, whatever text they are or are not.
function escaped(payload) {
  if (!payload.some((byte) => byte < 0x20 || byte === 0x22 || byte === 0x5c)) return payload;
  const parts = [];
  for (const byte of payload) {
    if (byte === 0x22 || byte === 0x5c) parts.push(0x5c, byte);
    else if (byte < 0x20) parts.push(...Buffer.from(`\\u${byte.toString(16).padStart(4, "0")}`));
    else parts.push(byte);
  }
  return Buffer.from(parts);
}

// From the fuzzer to the engine: in front of a text message is its type.
function toEngine({ head, op, isMasked, payload, bytes }) {
  return [op === opcode.text ? frame(head, Buffer.concat([Buffer.from("4"), payload]), isMasked) : bytes];
}

// And back. The open packet comes first.
function fromEngine(onJoined) {
  return ({ head, op, payload, bytes }) => {
    if (op !== opcode.text) return [bytes];
    if (payload[0] === 0x30) onJoined();
    return payload[0] === 0x34 ? [frame(head, payload.subarray(1), false)] : [];
  };
}

// From the fuzzer to the server.
function toServer() {
  let isText = false;
  return ({ head, op, isFinal, isMasked, payload, bytes }) => {
    if (op === opcode.text) isText = true;
    else if (op === opcode.binary) isText = false;
    else if (op !== opcode.continuation || !isText) return [bytes];
    if (!isText) return [frame(0x81, Buffer.from(BINARY), true), bytes];
    const parts = [escaped(payload)];
    if (op === opcode.text) parts.unshift(Buffer.from(EVENT));
    if (isFinal) {
      parts.push(Buffer.from('"]'));
      isText = false;
    }
    return [frame(head, Buffer.concat(parts), isMasked)];
  };
}

// From the server to the fuzzer. The server does not fragment.
function toFuzzer(onJoined, stream) {
  return ({ head, op, payload, bytes }) => {
    if (op !== opcode.text) return [bytes];
    const text = payload.toString();
    if (text.startsWith("0{")) stream.write(frame(0x81, Buffer.from("40"), true));
    else if (text.startsWith("40")) onJoined();
    else if (text.startsWith(EVENT)) return [frame(head, Buffer.from(JSON.parse(text.slice(2))[1]), false)];
    return [];
  };
}

async function serve(fuzzer) {
  fuzzer.setNoDelay(true);
  fuzzer.on("error", () => {});
  const [request, early] = await readHead(fuzzer);
  const { stream, rest, head, key } = await connect(request);
  stream.on("error", () => fuzzer.destroy());
  fuzzer.once("close", () => stream.destroyed || stream.end());
  stream.once("end", () => fuzzer.end());
  stream.once("close", () => fuzzer.end());
  await new Promise((joined) => {
    const frames = new Frames(isAlone ? fromEngine(joined) : toFuzzer(joined, stream), fuzzer);
    stream.on("data", (chunk) => frames.push(chunk)).resume();
    frames.push(rest);
  });
  fuzzer.write(head ?? (await accepted(key)));
  const frames = new Frames(isAlone ? toEngine : toServer(), stream);
  fuzzer.on("data", (chunk) => frames.push(chunk)).once("end", () => stream.end());
  frames.push(early);
  fuzzer.resume();
}

const server = net.createServer({ allowHalfOpen: true }, (fuzzer) => {
  serve(fuzzer).catch((error) => {
    console.error(String(error));
    fuzzer.destroy();
  });
});
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
