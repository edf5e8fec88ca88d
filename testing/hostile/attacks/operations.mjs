// What the server needs itself: the listener for operators, and its standard error.

import { dial, sleep, times } from "../lib/wire.mjs";
import { rapidReset } from "./http.mjs";

export const operations = [
  {
    name: "silent-admin",
    about: "64 connections to the listener for operators that say nothing, replaced when they are closed",
    bound: "connections of `admin.listen`; the oldest that is silent makes room",
    async run({ target, deadline }) {
      const open = new Set();
      while (Date.now() < deadline) {
        await times(64 - open.size, 64, deadline, async () => {
          const socket = await dial(target.adminPort);
          if (!socket) return;
          open.add(socket);
          socket.once("close", () => open.delete(socket));
        });
        await sleep(50);
      }
    },
    async check(server) {
      const { status, ms } = await server.admin("/healthz", 12_000);
      return status === 200 && ms < 1000 ? [] : [`/healthz was answered ${status} after ${ms} ms`];
    },
  },
  {
    name: "stderr-unread",
    about: "HTTP/2 requests that are taken back at once, and nobody reads the standard error, a pipe",
    bound: "`log.max_queue_bytes`: the log drops and counts what finds no room",
    server: { stderr: "unread" },
    run: rapidReset,
  },
  {
    name: "stderr-closed",
    about: "the reader of standard error goes away, and then connections use up the open files (200)",
    bound: "a log that drops and counts what cannot be written",
    server: { files: 200 },
    begin: (server) => server.closeLog(),
    visitors: false,
    async run({ target, deadline }) {
      await times(400, 50, deadline, () => dial(target.port));
    },
  },
  {
    name: "stderr-full",
    about: "standard error is /dev/full, and connections use up the open files (200)",
    bound: "a log that drops and counts what cannot be written",
    server: { files: 200, stderr: "full" },
    visitors: false,
    async run({ target, deadline }) {
      await times(400, 50, deadline, () => dial(target.port));
    },
  },
];
