// The interop contract (CONTRACT.md) served by the official Node.js stack: what the suites are checked against.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";
import { makeAdapter } from "./brokers.mjs";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: process.env.PORT ?? "0" },
    parser: { type: "string", default: "json" },
    eio3: { type: "boolean", default: false },
    csr: { type: "string" },
    "ping-interval": { type: "string", default: "25000" },
    "ping-timeout": { type: "string", default: "20000" },
    "upgrade-timeout": { type: "string", default: "10000" },
    "connect-timeout": { type: "string", default: "45000" },
    "max-payload": { type: "string", default: "1000000" },
    cors: { type: "string" },
    cookie: { type: "string" },
    transports: { type: "string", default: "polling,websocket" },
    "no-upgrades": { type: "boolean", default: false },
    deflate: { type: "boolean", default: false },
    path: { type: "string", default: "/socket.io" },
    adapter: { type: "string" },
    url: { type: "string" },
    ca: { type: "string" },
    "redis-client": { type: "string", default: "redis" },
    "subscription-mode": { type: "string", default: "dynamic" },
    "sharded-pubsub": { type: "boolean", default: false },
  },
});

const options = {
  serveClient: false,
  path: flags.path,
  allowEIO3: flags.eio3,
  pingInterval: Number(flags["ping-interval"]),
  pingTimeout: Number(flags["ping-timeout"]),
  upgradeTimeout: Number(flags["upgrade-timeout"]),
  connectTimeout: Number(flags["connect-timeout"]),
  maxHttpBufferSize: Number(flags["max-payload"]),
  transports: flags.transports.split(","),
  allowUpgrades: !flags["no-upgrades"],
  perMessageDeflate: flags.deflate,
};
if (flags.parser === "msgpack") options.parser = msgpackParser;
if (flags.csr) options.connectionStateRecovery = { maxDisconnectionDuration: Number(flags.csr) };
if (flags.cors) options.cors = { origin: flags.cors, credentials: flags.cors !== "*" };
if (flags.cookie) options.cookie = { name: flags.cookie, path: "/", httpOnly: true, sameSite: "lax" };

if (flags.adapter) options.adapter = await makeAdapter(flags);

const httpServer = createServer((_request, response) => response.writeHead(404).end());
const io = new Server(httpServer, options);

// ---- what the control namespace reports ----
const disconnects = [];
const sequences = new Map();
const counters = { connects: 0, csrMiddleware: 0 };

function serve(nsp) {
  nsp.on("server-event", (...args) => nsp.local?.emit("server-event", ...args));
  nsp.on("server-question", (x, answer) => answer(x));
  nsp.on("connection", (socket) => {
    counters.connects += 1;
    if (socket.nsp.name === "/custom") socket.emit("welcome", socket.id);
    if (socket.nsp.name === "/auth") socket.emit("auth", socket.handshake.auth);
    addHandlers(socket);
  });
}

function addHandlers(socket) {
  const nsp = socket.nsp;
  const seen = { any: 0, outgoing: 0 };
  socket.onAny(() => { seen.any += 1; });
  socket.onAnyOutgoing(() => { seen.outgoing += 1; });
  socket.use(([event], next) => next(event === "forbidden" ? new Error("forbidden event") : undefined));
  socket.on("error", (error) => { if (error instanceof Error) socket.emit("refused", error.message); });

  let rooms = [];
  socket.on("disconnecting", () => { rooms = [...socket.rooms].sort(); });
  socket.on("disconnect", (reason) => disconnects.push({ nsp: nsp.name, id: socket.id, reason, rooms }));

  // answers to the sender
  socket.on("echo", (...args) => socket.emit("echo", ...args));
  socket.on("message", (...args) => socket.send(...args));
  socket.on("1", (...args) => socket.emit("numeric", ...args));
  socket.on("ack", (...args) => args.pop()(...args));
  socket.on("noack", () => {});
  socket.on("slow", (ms, x, done) => setTimeout(() => done(x), ms));
  socket.on("many", (n) => { for (let i = 0; i < n; i += 1) socket.emit("many", i); });
  socket.on("many-mixed", (n) => {
    for (let i = 0; i < n; i += 1) {
      if (i % 2) socket.emit("many", i, bytes(i % 50));
      else socket.emit("many", i);
    }
  });
  socket.on("bin", (n) => socket.emit("bin", bytes(n)));
  socket.on("volatile", (...args) => socket.volatile.emit("volatile", ...args));
  socket.on("compress", (flag, ...args) => socket.compress(flag).emit("compress", ...args));
  socket.on("emit-with-ack", (...args) => socket.emit("question", ...args, (...answer) => socket.emit("answer", ...answer)));
  socket.on("timeout-ack", (ms, ...args) => {
    socket.timeout(ms).emit("question", ...args, (error, ...answer) => {
      socket.emit("timeout-result", error ? "timeout" : "answered", ...answer);
    });
  });
  socket.on("reserved", (done) => {
    try { socket.emit("connect"); } catch { return done("refused"); }
    done("sent");
  });

  // rooms
  socket.on("join", (names, done) => { socket.join(names); done(); });
  socket.on("leave", (name, done) => { socket.leave(name); done(); });
  socket.on("rooms", (done) => done([...socket.rooms].sort()));
  socket.on("broadcast", (...args) => socket.broadcast.emit("broadcast", ...args));
  socket.on("all", (...args) => nsp.emit("all", ...args));
  socket.on("volatile-all", (...args) => nsp.volatile.emit("all", ...args));
  socket.on("to-room", (names, ...args) => socket.to(names).emit("room", ...args));
  socket.on("in-room", (names, ...args) => nsp.in(names).emit("room", ...args));
  socket.on("except", (names, ...args) => nsp.except(names).emit("except", ...args));
  socket.on("to-except", (names, not, ...args) => nsp.to(names).except(not).emit("room", ...args));
  socket.on("broadcast-ack", (names, ms, ...args) => {
    const done = args.pop();
    nsp.to(names).timeout(ms).emit("poll", ...args, (error, responses) => done(error ? "timeout" : null, responses));
  });
  socket.on("fetch", async (names, done) => {
    const found = await nsp.in(names).fetchSockets();
    done(found.map((s) => ({ id: s.id, rooms: [...s.rooms].sort(), data: s.data })));
  });
  socket.on("sockets-join", (names, added, done) => { nsp.in(names).socketsJoin(added); done(); });
  socket.on("sockets-leave", (names, removed, done) => { nsp.in(names).socketsLeave(removed); done(); });
  socket.on("disconnect-room", (names, close) => { nsp.in(names).disconnectSockets(close); });
  socket.on("disconnect-me", (close) => { socket.disconnect(close); });

  // the other nodes of a cluster
  socket.on("server-emit", (...args) => nsp.serverSideEmit("server-event", ...args));
  socket.on("server-question", (x, done) => {
    nsp.serverSideEmit("server-question", x, (error, answers) => done(error ? "timeout" : null, answers));
  });
  socket.on("server-count", async (done) => done(await nsp.adapter.serverCount()));

  // state
  socket.on("set-data", (value, done) => { socket.data = value; done(); });
  socket.on("get-data", (done) => done(socket.data));
  socket.on("recovered", (done) => done(socket.recovered));
  socket.on("counts", (done) => done({ ...seen }));
  socket.on("handshake", (done) => {
    const { auth, query, headers, url, address, secure, xdomain, issued, time } = socket.handshake;
    done({ auth, query, url, secure, xdomain, address, issued, time, header: headers["x-interop"] ?? null });
  });
  socket.on("seq", (key, n, done) => {
    if (!sequences.has(key)) sequences.set(key, []);
    sequences.get(key).push(n);
    done(n);
  });
}

function bytes(n) {
  return Buffer.from(Array.from({ length: n }, (_, i) => i % 256));
}

function refusal(message, data) {
  const error = new Error(message);
  if (data !== undefined) error.data = data;
  return error;
}

serve(io.of("/"));
serve(io.of("/custom"));
serve(io.of(/^\/dyn-\d+$/));
serve(io.of((name, auth, next) => next(null, name.startsWith("/fn-") && auth.ok !== false)));

const deny = io.of("/deny");
deny.use((_socket, next) => next(refusal("nope", { a: 1 })));
serve(deny);

const auth = io.of("/auth");
auth.use((socket, next) => {
  const { token } = socket.handshake.auth;
  if (token === "plain") return next(refusal("unauthorized"));
  if (token === "bad") return setTimeout(() => next(refusal("unauthorized", { code: 401 })), 20);
  next();
});
serve(auth);

const recovery = io.of("/csr");
recovery.use((_socket, next) => { counters.csrMiddleware += 1; next(); });
serve(recovery);

io.of("/control").on("connection", (socket) => {
  socket.on("disconnects", (done) => done(disconnects));
  socket.on("seq", (key, done) => done(sequences.get(key) ?? []));
  socket.on("counters", (done) => done({ ...counters, engineClients: io.engine.clientsCount }));
  socket.on("room-size", (name, room, done) => done(io.of(name).adapter.rooms.get(room)?.size ?? 0));
  socket.on("emit", ({ nsp = "/", rooms = [], except = [], volatile = false, event, args = [] }, done) => {
    let target = io.of(nsp).to(rooms).except(except);
    if (volatile) target = target.volatile;
    target.emit(event, ...args);
    done();
  });
});

process.on("SIGTERM", () => {
  const deadline = setTimeout(() => process.exit(0), 2000);
  io.close(() => { clearTimeout(deadline); process.exit(0); });
});

httpServer.listen(Number(flags.port), "127.0.0.1", () => {
  console.log(`listening ${httpServer.address().port}`);
});
