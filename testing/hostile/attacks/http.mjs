// HTTP itself, before any session.

import { randomBytes } from "node:crypto";
import { getBlocks, Http2 } from "../lib/http2.mjs";
import { dial, send, sleep, times } from "../lib/wire.mjs";

/** Opens HTTP/2 streams and takes them back at once, on a new connection after each that the server ends. */
export async function rapidReset({ target, deadline }) {
  const blocks = getBlocks("/socket.io/?EIO=4&transport=polling");
  let requests = 0;
  let connections = 0;
  while (Date.now() < deadline) {
    const client = await Http2.connect(target.port);
    if (!client) {
      await sleep(10);
      continue;
    }
    connections += 1;
    while (Date.now() < deadline && !client.isOver) {
      const some = [];
      for (let n = 0; n < 100; n += 1) {
        some.push(client.request(client.started === 0 ? blocks.first : blocks.again), client.reset());
      }
      requests += 100;
      const isSent = await Promise.race([send(client.socket, Buffer.concat(some)), sleep(deadline - Date.now())]);
      if (!isSent) break;
    }
    client.socket.destroy();
  }
  return { note: `${requests} requests on ${connections} connections` };
}

export const http = [
  {
    name: "rapid-reset",
    about: "HTTP/2 requests that are taken back at once, on a new connection after each GOAWAY",
    bound: "resets of a connection (the HTTP library's); `log.max_repeats`",
    run: rapidReset,
  },
  {
    name: "slow-headers",
    about: "3,000 connections send a byte of their headers every second",
    bound: "10 s for headers; `max_tcp_connections`, with a share for each address",
    async run({ target, deadline }) {
      const sockets = [];
      const start = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
      await times(3000, 100, deadline, async () => {
        const socket = await dial(target.port);
        if (socket && await send(socket, start)) sockets.push(socket);
      });
      while (Date.now() < deadline) {
        for (const socket of sockets) socket.write("a");
        await sleep(Math.min(1000, deadline - Date.now()));
      }
    },
  },
  {
    name: "large-headers",
    about: "200 connections send 31 kB of headers and do not end them, replaced when they are closed",
    bound: "32 KiB of headers, 10 s for them; `max_tcp_connections`",
    async run({ target, deadline }) {
      const start = `GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"a".repeat(31_000)}`;
      await times(Infinity, 200, deadline, async () => {
        const socket = await dial(target.port);
        if (!await send(socket, start)) return sleep(50);
        return new Promise((resolve) => socket.once("close", resolve));
      });
    },
  },
  {
    name: "garbage",
    about: "50 connections at a time send 8 kB that are not HTTP, one after the other",
    bound: "400, and closed",
    async run({ target, deadline }) {
      let sent = 0;
      await times(Infinity, 50, deadline, async () => {
        const socket = await dial(target.port);
        if (!socket) return sleep(10);
        sent += 1;
        const closed = new Promise((resolve) => socket.once("close", resolve));
        await send(socket, randomBytes(8000));
        await Promise.race([closed, sleep(1000)]);
        return socket.destroy();
      });
      return { note: `${sent} connections` };
    },
  },
];
