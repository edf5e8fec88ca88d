// The backend that the chat page and the tests expect, on the official Node.js server. It has nothing but generic routes:
// `room` (emit to the room that the event names), `join`, `leave`, `members`, and presence of who is in which room.
//
// Environment: PORT (default 22000), ASSETS (folder of the page), PING_INTERVAL and PING_TIMEOUT in milliseconds.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";

const port = Number(process.env.PORT ?? 22000);
const assets = process.env.ASSETS ?? fileURLToPath(new URL("../../crates/server/assets", import.meta.url));
const FILES = {
  "/": ["index.html", "text/html"],
  "/chat.js": ["chat.js", "text/javascript"],
  "/chat.css": ["chat.css", "text/css"],
  "/sockeye.js": ["sockeye.js", "text/javascript"],
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const http = createServer((request, response) => {
  const file = FILES[request.url.split("?")[0]];
  if (!file) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": `${file[1]}; charset=utf-8`, "content-security-policy": POLICY });
  // the page is told that the official client is served
  return response.end(readFileSync(`${assets}/${file[0]}`, "utf8").replace('data-client=""', 'data-client="/socket.io/socket.io.js"'));
});

const io = new Server(http, {
  connectionStateRecovery: {},
  pingInterval: Number(process.env.PING_INTERVAL ?? 25000),
  pingTimeout: Number(process.env.PING_TIMEOUT ?? 20000),
});

io.use((socket, next) => {
  const { name, color } = socket.handshake.auth;
  if (name === undefined) return next(); // a client of the tutorial says nothing of itself
  if (typeof name !== "string" || name.length === 0 || name.length > 40) return next(new Error("a name is required"));
  socket.data = { name, color };
  return next();
});

io.on("connection", (socket) => {
  const self = () => ({ id: socket.id, data: socket.data });
  const announce = (event, room) => io.to(room).emit(event, { room, ...self() });
  const isRoom = (room) => typeof room === "string" && room !== "" && room !== socket.id;

  socket.on("chat message", (...args) => io.emit("chat message", ...args)); // as in the tutorial of Socket.IO

  socket.on("join", ({ room }, ack) => {
    if (!isRoom(room)) return ack({ ok: false, error: "no such room" });
    const fresh = !socket.rooms.has(room);
    socket.join(room);
    ack({ ok: true });
    if (fresh) announce("sockeye:joined", room);
  });

  socket.on("leave", ({ room }, ack) => {
    if (isRoom(room) && socket.rooms.has(room)) {
      socket.leave(room);
      announce("sockeye:left", room);
    }
    ack?.({ ok: true });
  });

  socket.on("members", async ({ room }, ack) => {
    const sockets = socket.rooms.has(room) ? await io.in(room).fetchSockets() : [];
    ack(sockets.map(({ id, data }) => ({ id, data })));
  });

  for (const event of ["message", "file", "typing", "read"]) {
    socket.on(event, (payload, ack) => {
      if (!socket.rooms.has(payload.room)) return ack?.({ ok: false, error: "not a member of that room" });
      const others = socket.to(payload.room);
      (event === "typing" ? others.volatile : others).emit(event, payload, self());
      return ack?.({ ok: true });
    });
  }

  socket.on("disconnecting", () => {
    for (const room of socket.rooms) if (room !== socket.id) socket.to(room).emit("sockeye:left", { room, ...self() });
  });

  // a recovered socket is in its rooms again without having joined them
  if (socket.recovered) for (const room of socket.rooms) if (room !== socket.id) announce("sockeye:joined", room);
});

// what the tests of the client need besides the chat
io.of("/test").on("connection", (socket) => {
  socket.onAny((event, ...args) => {
    const ack = args.at(-1);
    if (event === "echo") socket.emit("echo", ...args);
    if (event === "ack") ack(...args.slice(0, -1));
    if (event === "ask") socket.emit("question", ...args.slice(0, -1), (...answer) => ack(...answer));
    if (event === "all") io.of("/test").emit("all", ...args);
    if (event === "auth") ack(socket.handshake.auth, socket.handshake.query);
    if (event === "leave") socket.disconnect(args[0]);
    if (event === "cut") socket.conn.close();
  });
});
io.of("/denied").use((socket, next) => next(Object.assign(new Error("not allowed"), { data: { code: 42 } })));

http.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}`));
process.on("SIGTERM", () => process.exit(0));
