// WebSocket frames, taken apart without any judgement: what is wrong in them is for the other side to find out.

export const opcode = { continuation: 0, text: 1, binary: 2 };

// Calls `translate` with each frame, and writes what it gives back.
export class Frames {
  #waiting = Buffer.alloc(0);

  constructor(translate, to) {
    this.translate = translate;
    this.to = to;
  }

  push(chunk) {
    this.#waiting = this.#waiting.length > 0 ? Buffer.concat([this.#waiting, chunk]) : chunk;
    for (;;) {
      const next = read(this.#waiting);
      if (next === undefined) return;
      this.#waiting = this.#waiting.subarray(next.bytes.length);
      for (const bytes of this.translate(next)) if (this.to.writable) this.to.write(bytes);
    }
  }
}

// The first frame, or undefined while it is incomplete.
function read(bytes) {
  if (bytes.length < 2) return undefined;
  let length = bytes[1] & 0x7f;
  let at = 2;
  if (length >= 126) {
    const size = length === 126 ? 2 : 8;
    if (bytes.length < at + size) return undefined;
    length = size === 2 ? bytes.readUInt16BE(at) : Number(bytes.readBigUInt64BE(at));
    at += size;
  }
  const isMasked = (bytes[1] & 0x80) !== 0;
  const mask = isMasked ? bytes.subarray(at, at + 4) : undefined;
  if (isMasked) at += 4;
  if (bytes.length < at + length) return undefined;
  const payload = Buffer.from(bytes.subarray(at, at + length));
  if (mask) for (let index = 0; index < length; index += 1) payload[index] ^= mask[index & 3];
  const head = bytes[0];
  return { head, op: head & 0x0f, isFinal: (head & 0x80) !== 0, isMasked, payload, bytes: bytes.subarray(0, at + length) };
}

// A frame with this first byte. Its mask is zero: what is masked is masked with something anyway.
export function frame(head, payload, isMasked) {
  const { length } = payload;
  const bit = isMasked ? 0x80 : 0;
  const mask = isMasked ? [0, 0, 0, 0] : [];
  const size = Buffer.alloc(length < 126 ? 1 : length < 65_536 ? 3 : 9);
  if (length < 126) size[0] = bit | length;
  else if (length < 65_536) size.writeUInt16BE(length, 1);
  else size.writeBigUInt64BE(BigInt(length), 1);
  if (length >= 126) size[0] = bit | (length < 65_536 ? 126 : 127);
  return Buffer.concat([Buffer.from([head]), size, Buffer.from(mask), payload]);
}
