// Bounds that are for all clients together: one of them fills each, and others want to connect.

import { Http2, getBlocks } from "../lib/http2.mjs";
import { dial, openWebSocket, send, sleep, times, frame } from "../lib/wire.mjs";

/** Opens silent connections, and new ones for those that the server closes. */
async function silent(port, count, deadline) {
  const open = new Set();
  while (Date.now() < deadline) {
    await times(count - open.size, 100, deadline, async () => {
      const socket = await dial(port);
      if (!socket) return;
      open.add(socket);
      socket.once("close", () => open.delete(socket));
    });
    await sleep(Math.min(200, deadline - Date.now()));
  }
  return { note: `${open.size} silent` };
}

export const connections = [
  {
    name: "unjoined",
    about: "one HTTP/2 connection opens 100,000 sessions that join no namespace",
    bound: "`max_unjoined` and `max_unjoined_per_tcp_connection`, with a share for each address: the oldest goes",
    async run({ target, deadline }) {
      const blocks = getBlocks("/socket.io/?EIO=4&transport=polling");
      const client = await Http2.connect(target.port);
      const started = Date.now();
      while (Date.now() < deadline && !client.isOver && client.started < 101_000) {
        await Promise.race([client.fewer(150), sleep(deadline - Date.now())]);
        const some = [];
        while (client.started - client.ended < 250) some.push(client.request(client.started === 0 ? blocks.first : blocks.again));
        if (!await send(client.socket, Buffer.concat(some))) break;
      }
      return { note: `${client.started} handshakes in ${((Date.now() - started) / 1000).toFixed(1)} s` };
    },
  },
  {
    name: "child-namespaces",
    about: "103 connections bring 10,000 namespaces of a pattern to life and stay in them",
    bound: "`max_child_namespaces`, with a share for each address",
    visitors: (n) => `/child-of-a-visitor-${n}`,
    async run({ target, deadline }) {
      await times(103, 20, deadline, async (client) => {
        const socket = await openWebSocket(target);
        const names = Array.from({ length: 99 }, (_, n) => frame(`40/child-${client}-${n}-${"a".repeat(400)},`));
        await send(socket, Buffer.concat(names));
      });
    },
  },
  {
    name: "fill-connections",
    about: "4,000 joined WebSockets, where 3,000 connections are allowed",
    bound: "`max_connections`, with a share for each address",
    server: { environment: { SOCKEYE__LIMITS__MAX_CONNECTIONS: "3000" } },
    async run({ target, deadline }) {
      let opened = 0;
      await times(4000, 50, deadline, async () => { if (await openWebSocket(target)) opened += 1; });
      return { note: `${opened} opened` };
    },
  },
  {
    name: "silent-tcp",
    about: "6,000 TCP connections that say nothing, replaced when they are closed",
    bound: "`max_tcp_connections`, with a share for each address: the oldest silent one goes; 10 s for headers",
    run: ({ target, deadline }) => silent(target.port, 6000, deadline),
  },
  {
    name: "silent-tls",
    about: "3,000 TLS connections that say nothing, where 2,000 handshakes are allowed",
    bound: "`max_handshakes`, with a share for each address; `server.tls.handshake_timeout`",
    server: { tls: true, environment: { SOCKEYE__LIMITS__MAX_HANDSHAKES: "2000" } },
    run: ({ target, deadline }) => silent(target.port, 3000, deadline),
  },
  {
    name: "all-files",
    about: "as many TCP connections as the server may have open files (2,000), replaced when they are closed",
    bound: "`max_tcp_connections`, with a share for each address; without files the greediest address gives one up",
    server: { files: 2000 },
    run: ({ target, deadline }) => silent(target.port, 2500, deadline),
  },
];
