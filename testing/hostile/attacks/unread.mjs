// What a server has said and nobody reads.

import {
  dial, expect, flood, frame, getHead, openPolling, openWebSocket, post, send, sleep, times,
} from "../lib/wire.mjs";

export const unread = [
  {
    name: "outboxes",
    about: "400 clients each ask for 8 MB that they never read, half of which the system takes, and send pongs that nobody asked for",
    bound: "`max_outbox_bytes`, `budgets.outboxes`; a pong that nobody asked for is no sign of life",
    server: { program: "interop-server", flags: ["--ping-interval", "1000", "--ping-timeout", "3000"] },
    async run({ target, deadline }) {
      const sockets = [];
      const some = Buffer.concat(Array(4).fill(frame('42["bin",1000000]')));
      await times(400, 8, deadline, async () => {
        const socket = await openWebSocket(target);
        if (!socket) return;
        socket.pause();
        sockets.push(socket);
        // What the system does not take waits in the outbox.
        await send(socket, some);
        await sleep(50);
        await send(socket, some);
      });
      while (Date.now() < deadline) {
        await Promise.race([Promise.all(sockets.map((socket) => send(socket, frame("3")))), sleep(500)]);
        await sleep(500);
      }
    },
  },
  {
    name: "polling-answers",
    most: 200e6,
    about: "one long-polling session asks for 4 MB and for the answer, on a new connection that it never reads, over and over",
    bound: "`max_outbox_bytes` with what is unread, `budgets.responses`, `write_timeout`",
    server: { program: "interop-server" },
    async run({ target, deadline }) {
      const session = await openPolling(target);
      if (!session) return { note: "refused" };
      let asked = 0;
      while (Date.now() < deadline && asked < 400) {
        if (!await post(session.socket, session.sid, Array(4).fill('42["bin",700000]').join("\x1e"))) break;
        const unread = await dial(target.port);
        if (!unread) break;
        // The answer must have begun before the next GET, or that would be one too many.
        const begun = expect(unread, /^HTTP/);
        await send(unread, getHead(session.sid));
        if (!await begun) break;
        unread.pause();
        asked += 1;
      }
      return { note: `${asked} answers` };
    },
  },
  {
    name: "unread-responses",
    most: 200e6,
    about: "one connection asks for the chat page's client as fast as it can, and reads nothing",
    bound: "one response at a time waits to be written; `write_timeout`",
    async run({ target, deadline }) {
      const socket = await dial(target.port, { read: false });
      const request = "GET /sockeye.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
      await flood(socket, Buffer.from(request.repeat(1000)), deadline);
    },
  },
];
