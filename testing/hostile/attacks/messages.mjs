// What a server does for messages: floods of small ones, and small ones that become large.

import { deflatedFrame, flood, frame, openWebSocket } from "../lib/wire.mjs";

const DEFLATE = { SOCKEYE__ENGINE__PER_MESSAGE_DEFLATE__ENABLED: "true" };

export const messages = [
  {
    name: "tiny-events",
    about: "one WebSocket sends events of 13 bytes as fast as they are taken",
    bound: "a turn ends after half a millisecond or 1,024 messages, one a round",
    async run({ target, deadline }) {
      const socket = await openWebSocket(target);
      await flood(socket, Buffer.concat(Array(4000).fill(frame('42["nothing"]'))), deadline);
    },
  },
  {
    name: "deflate-bomb",
    about: "one WebSocket sends events of 1 kB that inflate to 990 kB, as fast as they are taken",
    bound: "`max_http_buffer_size` after inflation; a turn ends after half a millisecond or 1,024 messages, one a round",
    server: { environment: DEFLATE },
    async run({ target, deadline }) {
      const socket = await openWebSocket(target, { deflate: true });
      const bomb = deflatedFrame(`42["nothing","${"a".repeat(990_000)}"]`);
      await flood(socket, Buffer.concat(Array(50).fill(bomb)), deadline);
    },
  },
];
