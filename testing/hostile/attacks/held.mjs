// What a server holds for clients: what came in and is not complete, what waits, what is kept while a session lives, and after it.

import { getBlocks, Http2 } from "../lib/http2.mjs";
import {
  deflated, deflatedFrame, frame, openPolling, openWebSocket, postHead, send, sleep, times,
} from "../lib/wire.mjs";

const DEFLATE = { SOCKEYE__ENGINE__PER_MESSAGE_DEFLATE__ENABLED: "true" };
/** Nearly as large as a message may be. */
const LARGE = 990_000;
const large = "a".repeat(LARGE);

export const held = [
  {
    name: "hpack-headers",
    about: "40,000 sessions over one HTTP/2 connection, each with 30 kB of headers that take 8 bytes on the wire",
    bound: "`max_unjoined` and `max_unjoined_per_tcp_connection`: the oldest goes; `budgets.requests`",
    async run({ target, deadline }) {
      const cookie = "c".repeat(3_830);
      const blocks = getBlocks("/socket.io/?EIO=4&transport=polling", { cookie, copies: 8 });
      let opened = 0;
      while (Date.now() < deadline && opened < 40_000) {
        const client = await Http2.connect(target.port);
        if (!client) return { note: `${opened} sessions asked for` };
        while (Date.now() < deadline && !client.isOver && opened < 40_000) {
          await Promise.race([client.fewer(200), sleep(deadline - Date.now())]);
          const block = client.started === 0 ? blocks.first : blocks.again;
          if (!await send(client.socket, client.request(block))) break;
          opened += 1;
        }
      }
      return { note: `${opened} sessions asked for` };
    },
  },
  {
    name: "large-auth",
    about: "20 connections join 99 namespaces each, with an `auth` of 990 kB that takes 1 kB on the wire",
    bound: "`budgets.auth`, `max_namespaces`",
    server: { environment: DEFLATE },
    async run({ target, deadline }) {
      const auth = deflated(`{"a":"${large}"}`);
      await times(20, 20, deadline, async (client) => {
        const socket = await openWebSocket(target, { deflate: true });
        for (let n = 0; n < 99 && Date.now() < deadline; n += 1) {
          if (!await send(socket, deflatedFrame([deflated(`40/child-${client}-${n},`), auth]))) return;
        }
      });
    },
  },
  {
    name: "unfinished-posts",
    about: "1,500 POST bodies of 1 MB of which the last 10 kB never come",
    bound: "`budgets.incoming`",
    async run({ target, deadline }) {
      let held = 0;
      await times(1500, 50, deadline, async () => {
        const session = await openPolling(target);
        if (!session) return;
        const head = postHead(session.sid, "Content-Length: 1000000");
        if (await send(session.socket, head + large)) held += 1;
      });
      return { note: `${held} bodies sent` };
    },
  },
  {
    name: "unfinished-messages",
    about: "1,500 WebSocket messages of 1 MB of which the last 10 kB never come",
    bound: "`budgets.incoming`",
    async run({ target, deadline }) {
      const part = frame(large, { length: 1_000_000 });
      let held = 0;
      await times(1500, 50, deadline, async () => {
        const socket = await openWebSocket(target);
        if (await send(socket, part)) held += 1;
      });
      return { note: `${held} messages sent` };
    },
  },
  {
    name: "one-byte-chunks",
    about: "60 POST bodies of 900,000 chunks of one byte each, which never end",
    bound: "`budgets.incoming`; a body is one buffer, whatever its pieces",
    async run({ target, deadline }) {
      const some = Buffer.from("1\r\na\r\n".repeat(20_000));
      await times(60, 20, deadline, async () => {
        const session = await openPolling(target);
        if (!session || !await send(session.socket, postHead(session.sid, "Transfer-Encoding: chunked"))) return;
        for (let n = 0; n < 45 && Date.now() < deadline; n += 1) {
          if (!await send(session.socket, some)) return;
        }
      });
    },
  },
  {
    name: "attachments",
    about: "200 clients announce ten attachments and send nine of 990 kB, compressed to 1 kB on the wire",
    bound: "`max_attachments`, `max_attachment_bytes`, `attachment_timeout`; `budgets.incoming`",
    server: { environment: DEFLATE },
    async run({ target, deadline }) {
      const places = Array.from({ length: 10 }, (_, n) => `{"_placeholder":true,"num":${n}}`);
      const attachment = deflatedFrame(Buffer.alloc(LARGE), { opcode: 2 });
      await times(200, 20, deadline, async () => {
        const socket = await openWebSocket(target, { deflate: true });
        await send(socket, Buffer.concat([frame(`4510-["nothing",${places}]`), ...Array(9).fill(attachment)]));
      });
    },
  },
  {
    name: "waiting-events",
    about: "one client sends 2,000 events of 990 kB (1 kB on the wire) to a handler that waits for minutes",
    bound: "`max_handlers`, four times `max_http_buffer_size` of one client; `budgets.events`",
    server: { program: "interop-server", flags: ["--deflate"] },
    async run({ target, deadline }) {
      const socket = await openWebSocket(target, { deflate: true });
      const event = deflatedFrame(`420["slow",600000,"${large}"]`);
      for (let n = 0; n < 2000 && Date.now() < deadline; n += 1) {
        const isSent = await Promise.race([send(socket, event), sleep(deadline - Date.now())]);
        if (isSent === false) return;
      }
    },
  },
  {
    name: "recovery-sessions",
    about: "1,500 clients set data of 990 kB (1 kB on the wire) and go, to be recovered",
    bound: "`recovery.max_sessions`, `budgets.recovery`",
    server: { program: "interop-server", flags: ["--deflate", "--csr", "120000"] },
    async run({ target, deadline }) {
      const event = deflatedFrame(`421["set-data",{"a":"${large}"}]`);
      await times(1500, 20, deadline, async () => {
        const socket = await openWebSocket(target, { deflate: true });
        if (!socket) return;
        const done = new Promise((resolve) => {
          let text = "";
          socket.on("data", (data) => { text += data.toString("latin1"); if (text.includes("431[")) resolve(); });
          socket.once("close", resolve);
          setTimeout(resolve, 2000);
        });
        await send(socket, event);
        await done;
        socket.resetAndDestroy();
      });
    },
  },
  {
    name: "recovery-logs",
    about: "one client sends 66 MB of events (1 kB each on the wire) to each of 40 namespaces that keep them for recovery",
    bound: "`recovery.max_log_bytes` of a namespace, `budgets.recovery` of all",
    server: { program: "interop-server", flags: ["--deflate", "--csr", "120000"] },
    async run({ target, deadline }) {
      const socket = await openWebSocket(target, { deflate: true });
      const args = deflated(`["broadcast","${large}"]`);
      for (let n = 0; n < 40 && Date.now() < deadline; n += 1) {
        await send(socket, frame(`40/dyn-${n},`));
        const event = deflatedFrame([deflated(`42/dyn-${n},`), args]);
        for (let sent = 0; sent < 67 && Date.now() < deadline; sent += 1) {
          const isSent = await Promise.race([send(socket, event), sleep(deadline - Date.now())]);
          if (isSent === false) return;
        }
      }
    },
  },
];
