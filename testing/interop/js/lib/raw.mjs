// The protocol by hand: bare HTTP requests, bare Engine.IO sessions over polling and over WebSocket, bare bytes.

import http from "node:http";
import net from "node:net";
import { WebSocket } from "ws";
import { within } from "./target.mjs";

export const SEPARATOR = "\x1e";

/** One HTTP request on a connection of its own; the answer with its body as a Buffer (`body`) and as text. */
export function request(target, method, path, { headers = {}, body, agent = false, ms = 10_000 } = {}) {
  const answer = new Promise((resolve, reject) => {
    const outgoing = http.request({ host: "127.0.0.1", port: target.port, method, path, headers, agent }, (incoming) => {
      const chunks = [];
      incoming.on("data", (chunk) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const whole = Buffer.concat(chunks);
        resolve({ status: incoming.statusCode, headers: incoming.headers, body: whole, text: whole.toString() });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
  return within(answer, ms, `no answer to ${method} ${path}`);
}

/** An Engine.IO session over polling. */
export class PollSession {
  static async open(target, { eio = 4, query = "", headers } = {}) {
    const answer = await request(target, "GET", `/socket.io/?EIO=${eio}&transport=polling${query}`, { headers });
    if (answer.status !== 200) throw new Error(`handshake refused: ${answer.status} ${answer.text}`);
    const start = answer.text.indexOf("{");
    return new PollSession(target, eio, JSON.parse(answer.text.slice(start, answer.text.lastIndexOf("}") + 1)));
  }

  constructor(target, eio, opening) {
    Object.assign(this, { target, eio, opening, sid: opening.sid });
    this.path = `/socket.io/?EIO=${eio}&transport=polling&sid=${opening.sid}`;
  }

  get(options) { return request(this.target, "GET", this.path, options); }
  post(body, options) { return request(this.target, "POST", this.path, { body, ...options }); }

  /** Polls once; the packets as an array. */
  async poll() {
    const answer = await this.get();
    if (answer.status !== 200) throw new Error(`poll: ${answer.status} ${answer.text}`);
    return answer.text.split(SEPARATOR);
  }

  async send(...packets) {
    const answer = await this.post(packets.join(SEPARATOR), { headers: { "content-type": "text/plain;charset=UTF-8" } });
    if (answer.status !== 200 || answer.text !== "ok") throw new Error(`post: ${answer.status} ${answer.text}`);
  }

  /** Joins the main namespace. */
  async join() {
    await this.send("40");
    const [packet] = await this.poll();
    return JSON.parse(packet.slice(2));
  }
}

/** A WebSocket whose messages wait in a queue. */
export class RawSocket {
  static async open(target, query, options) {
    const socket = new RawSocket(target, query, options);
    await within(socket.opened, 5000, "the WebSocket did not open");
    return socket;
  }

  constructor(target, query = "EIO=4&transport=websocket", { protocols = [], ...options } = {}) {
    this.queue = [];
    this.waiting = [];
    this.ws = new WebSocket(`ws://127.0.0.1:${target.port}/socket.io/?${query}`, protocols, {
      perMessageDeflate: false,
      ...options,
    });
    this.opened = new Promise((resolve, reject) => {
      this.ws.once("open", resolve);
      this.ws.once("error", reject);
      this.ws.once("unexpected-response", (_request, response) => {
        let text = "";
        response.on("data", (data) => { text += data; });
        response.on("end", () => reject(Object.assign(new Error(`refused: ${response.statusCode} ${text}`), {
          status: response.statusCode, text, headers: response.headers,
        })));
      });
    });
    this.opened.catch(() => {});
    this.ws.on("error", () => {});
    this.ws.on("message", (data, binary) => {
      const message = binary ? data : data.toString();
      const waiter = this.waiting.shift();
      if (waiter) waiter(message);
      else this.queue.push(message);
    });
    /** The close code, when it has come. */
    this.closed = new Promise((resolve) => this.ws.once("close", resolve));
  }

  send(data) { this.ws.send(data); }

  async next(ms = 5000) {
    if (this.queue.length) return this.queue.shift();
    return within(new Promise((resolve) => this.waiting.push(resolve)), ms, "no message");
  }

  async closeCode(ms = 5000) { return within(this.closed, ms, "the WebSocket was not closed"); }

  /** Reads the open packet, joins the main namespace, and returns the socket's id. */
  async join(packet = "40") {
    this.opening = JSON.parse((await this.next()).slice(1));
    this.send(packet);
    return JSON.parse((await this.next()).slice(2)).sid;
  }
}

/** Writes bytes on a new TCP connection and returns everything that comes until it ends or `ms` have passed. */
export function rawBytes(target, bytes, ms = 1000) {
  return new Promise((resolve) => {
    const socket = net.connect(target.port, "127.0.0.1");
    let received = Buffer.alloc(0);
    const finish = () => { socket.destroy(); resolve(received); };
    const timer = setTimeout(finish, ms);
    socket.on("data", (data) => { received = Buffer.concat([received, data]); });
    socket.on("error", () => {});
    socket.on("close", () => { clearTimeout(timer); finish(); });
    socket.write(bytes);
  });
}

/** Writes bytes on a new TCP connection and returns what has come as soon as it matches; if it never does, what came until the end. */
export function rawAnswer(target, bytes, pattern, ms = 10_000) {
  return new Promise((resolve) => {
    const socket = net.connect(target.port, "127.0.0.1");
    let received = "";
    const finish = () => { clearTimeout(timer); socket.destroy(); resolve(received); };
    const timer = setTimeout(finish, ms);
    socket.on("data", (data) => {
      received += data.toString("latin1");
      if (pattern.test(received)) finish();
    });
    socket.on("error", () => {});
    socket.on("close", finish);
    socket.write(bytes);
  });
}

/** The text of a WebSocket upgrade request. */
export function upgradeRequest(query = "EIO=4&transport=websocket", extra = "") {
  return `GET /socket.io/?${query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
    + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extra}\r\n`;
}

/** One masked client frame (mask 0), every header bit free to choose. */
export function frame({ opcode = 1, fin = true, rsv = 0, masked = true, payload = "", length }) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const mask = masked ? 0x80 : 0;
  if (size < 126) head.push(mask | size);
  else if (size < 65536) head.push(mask | 126, size >> 8, size & 255);
  else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(size));
    head.push(mask | 127, ...long);
  }
  if (masked) head.push(0, 0, 0, 0);
  return Buffer.concat([Buffer.from(head), data]);
}
