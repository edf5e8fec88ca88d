// The attacker's end of the wire: TCP connections that count what they send, and on top of them bare HTTP and bare WebSockets.
//
// Nothing here waits for an answer that the attack does not need.

import net from "node:net";
import { constants, deflateRawSync } from "node:zlib";

/** Where attacks come from. Neighbours come from elsewhere. */
export const ATTACKER = "127.0.0.2";

const open = new Set();
let sentBefore = 0;

const sentOn = (socket) => Math.max(0, socket.bytesWritten - socket.writableLength);

/** The bytes that all connections have sent. */
export function sentBytes() {
  let sent = sentBefore;
  for (const socket of open) sent += sentOn(socket);
  return sent;
}

/** How many connections are open. */
export function openConnections() {
  return open.size;
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

/** A TCP connection; null if it is refused. What comes on it is thrown away until somebody listens. */
export function dial(port, { read = true } = {}) {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1", localAddress: ATTACKER, noDelay: true });
    if (!read) socket.pause();
    open.add(socket);
    socket.on("error", () => resolve(null));
    socket.once("close", () => {
      if (open.delete(socket)) sentBefore += sentOn(socket);
      resolve(null);
    });
    socket.once("connect", () => {
      if (read) socket.resume();
      resolve(socket);
    });
  });
}

/** Sends, and waits until the system has taken it; false if the connection is gone. */
export function send(socket, bytes) {
  if (!socket || socket.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => socket.write(bytes, (error) => resolve(!error)));
}

/** Sends the same bytes over and over, as fast as they are taken, until the deadline or the end of the connection. */
export async function flood(socket, bytes, deadline) {
  while (Date.now() < deadline && socket && !socket.destroyed) {
    const isSent = await Promise.race([send(socket, bytes), sleep(deadline - Date.now())]);
    if (isSent === false) return;
  }
}

/** Waits for text that matches; null if the connection ends first, or after `ms`. */
export function expect(socket, pattern, ms = 5000) {
  return new Promise((resolve) => {
    let text = "";
    const end = (value) => {
      clearTimeout(timer);
      socket.off("data", read);
      socket.off("close", gone);
      resolve(value);
    };
    const gone = () => end(null);
    const read = (data) => {
      text += data.toString("latin1");
      const found = text.match(pattern);
      if (found) end(found);
    };
    const timer = setTimeout(gone, ms);
    socket.on("data", read);
    socket.once("close", gone);
  });
}

/** Runs `work(n)` for n from 0 to `count`, some at a time, until the deadline. */
export async function times(count, atATime, deadline, work) {
  let next = 0;
  const worker = async () => {
    while (next < count && Date.now() < deadline) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.race([Promise.all(Array.from({ length: atATime }, worker)), sleep(deadline - Date.now())]);
}

/** One masked frame (mask 0). `length` may lie about the payload. */
export function frame(payload, { opcode = 1, fin = true, rsv1 = false, length } = {}) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const first = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  let head;
  if (size < 126) head = Buffer.from([first, 0x80 | size]);
  else if (size < 65536) head = Buffer.from([first, 0x80 | 126, size >> 8, size & 255]);
  else {
    head = Buffer.alloc(10);
    head.writeUInt16BE((first << 8) | 0x80 | 127);
    head.writeBigUInt64BE(BigInt(size), 2);
  }
  return Buffer.concat([head, Buffer.alloc(4), data]);
}

/** A part of a compressed message, without context. Parts that are used again need not be compressed again. */
export function deflated(payload) {
  return deflateRawSync(Buffer.from(payload), { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
}

/** A compressed message, as permessage-deflate wants it, of parts or of what is to be compressed. */
export function deflatedFrame(parts, { opcode = 1 } = {}) {
  const whole = Array.isArray(parts) ? Buffer.concat(parts) : deflated(parts);
  return frame(whole.subarray(0, -4), { opcode, rsv1: true });
}

const HEAD = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
  + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/** A WebSocket that has joined the main namespace, as its TCP connection; null if it is refused. */
export async function openWebSocket({ port }, { deflate = false, join = true } = {}) {
  const socket = await dial(port);
  if (!socket) return null;
  const extension = deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "";
  const opened = expect(socket, /^HTTP\/1\.1 (\d+)[^]*\r\n\r\n/);
  socket.write(`GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n${HEAD}${extension}\r\n`);
  const answer = await opened;
  if (answer?.[1] !== "101") {
    socket.destroy();
    return null;
  }
  socket.resume();
  if (join) socket.write(frame("40"));
  return socket;
}

/** A long-polling session that has joined the main namespace: its id, and the connection that it was opened on. */
export async function openPolling({ port }, { join = true } = {}) {
  const socket = await dial(port);
  if (!socket) return null;
  const opened = expect(socket, /"sid":"([^"]+)"/);
  socket.write("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const sid = (await opened)?.[1];
  if (!sid) {
    socket.destroy();
    return null;
  }
  if (join) await post(socket, sid, "40");
  return { socket, sid };
}

/** The head of a POST of a session. */
export function postHead(sid, framing) {
  return `POST /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: localhost\r\n`
    + `Content-Type: text/plain;charset=UTF-8\r\n${framing}\r\n\r\n`;
}

/** One POST of a session; whether it was answered `ok`. */
export async function post(socket, sid, body) {
  const answered = expect(socket, /\r\n\r\n(ok)?/);
  await send(socket, postHead(sid, `Content-Length: ${Buffer.byteLength(body)}`) + body);
  return (await answered)?.[1] === "ok";
}

/** A GET of a session. */
export function getHead(sid) {
  return `GET /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
}
