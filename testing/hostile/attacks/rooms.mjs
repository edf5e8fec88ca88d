// Rooms: many of them, long names, and what one member does to the others.

import { deflated, deflatedFrame, expect, flood, frame, openWebSocket, send, times } from "../lib/wire.mjs";

const READERS = { namespace: "/", room: "readers", count: 20 };

export const rooms = [
  {
    name: "many-rooms",
    about: "20 clients each join 10,000 rooms and leave them one by one, over and over",
    bound: "`max_rooms`; a room is left in constant time",
    server: { program: "interop-server" },
    async run({ target, deadline }) {
      const names = Array.from({ length: 9_990 }, (_, n) => `a room with a name that is rather long, number ${n}`);
      const join = frame(`42["join",${JSON.stringify(names)}]`);
      const leave = Buffer.concat(names.toReversed().map((name) => frame(`42["leave","${name}"]`)));
      await times(20, 20, deadline, async () => {
        const socket = await openWebSocket(target);
        await flood(socket, Buffer.concat([join, leave, frame('42["echo","left"]')]), deadline);
      });
    },
  },
  {
    name: "long-room-names",
    about: "20 clients join 5,000 rooms each, with names of 9,900 bytes that were compressed on the wire",
    bound: "`budgets.rooms`, `max_rooms`",
    server: { program: "interop-server", flags: ["--deflate"] },
    async run({ target, deadline }) {
      const rest = deflated(`${"a".repeat(9_900)}",`);
      await times(20, 20, deadline, async (client) => {
        const socket = await openWebSocket(target, { deflate: true });
        for (let batch = 0; batch < 50 && Date.now() < deadline; batch += 1) {
          const names = Array.from({ length: 99 }, (_, n) => [deflated(`"${client}-${batch}-${n}-`), rest]).flat();
          const event = deflatedFrame([deflated('42["join",['), ...names, deflated('"last"]]')]);
          if (!await send(socket, event)) return;
        }
      });
    },
  },
  {
    name: "room-flood",
    about: "one member of a room of 20 sends it events of 60 kB as fast as they are taken",
    bound: "`max_behind_bytes`: the sender is read no further while a twentieth of the members are behind",
    members: READERS,
    async run({ target, deadline }) {
      const socket = await openWebSocket(target);
      await send(socket, frame('42["join",{"room":"readers"}]'));
      const event = frame(`42["message",{"room":"readers","text":"${"a".repeat(60_000)}"}]`);
      await flood(socket, Buffer.concat(Array(4).fill(event)), deadline);
    },
  },
  {
    name: "tiny-room-flood",
    about: "one member of a room of 20 sends it events of 60 bytes as fast as they are taken",
    bound: "`max_behind_bytes`: the sender is read no further while a twentieth of the members are behind",
    members: READERS,
    async run({ target, deadline }) {
      const socket = await openWebSocket(target);
      await send(socket, frame('42["join",{"room":"readers"}]'));
      const event = frame('42["message",{"room":"readers","text":"tiny"}]');
      await flood(socket, Buffer.concat(Array(1000).fill(event)), deadline);
    },
  },
  {
    name: "presence-flood",
    about: "one client joins and leaves a room of 20 with presence, as fast as it is taken",
    bound: "`max_behind_bytes`: the sender is read no further while a twentieth of the members are behind",
    members: { ...READERS, namespace: "/presence" },
    async run({ target, deadline }) {
      const socket = await openWebSocket(target, { join: false });
      await send(socket, frame("40/presence,"));
      const pair = ["join", "leave"].map((event) => frame(`42/presence,["${event}",{"room":"readers"}]`));
      await flood(socket, Buffer.concat(Array(500).fill(pair).flat()), deadline);
    },
  },
  {
    name: "presence-storm",
    about: "clients connect, join a room of 20 with presence, and are cut, 50 at a time",
    bound: "`max_behind_bytes`",
    members: { ...READERS, namespace: "/presence" },
    async run({ target, deadline }) {
      let came = 0;
      await times(Infinity, 50, deadline, async () => {
        const socket = await openWebSocket(target, { join: false });
        if (!socket) return;
        came += 1;
        const joined = expect(socket, /43\/presence,7/, 2000);
        await send(socket, Buffer.concat([frame("40/presence,"), frame('42/presence,7["join",{"room":"readers"}]')]));
        await joined;
        socket.resetAndDestroy();
      });
      return { note: `${came} came and went` };
    },
  },
];
