// Members of a room, as a process: official clients that read all they are sent. It counts how many of them lose their connection.

import { io } from "socket.io-client";
import { options, serve } from "./process.mjs";

let closed = 0;
let received = 0;
const sockets = Array.from({ length: options.count }, () => io(options.url + options.namespace, {
  transports: ["websocket"],
  localAddress: options.address,
  forceNew: true,
  reconnection: false,
}));
for (const socket of sockets) {
  socket.on("disconnect", () => { closed += 1; });
  socket.onAny(() => { received += 1; });
}
await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
await Promise.all(sockets.map((socket) => socket.emitWithAck("join", { room: options.room })));

serve((message) => {
  if (message.count) process.send({ members: { of: options.count, closed, received } });
});
process.send({ ready: true });
