// The load contract on the official server: node server.js PORT
import { Server } from "socket.io";

const port = Number(process.argv[2] ?? 3000);
const io = new Server();

io.on("connection", (socket) => {
  socket.on("echo", (x) => socket.emit("echo", x));
  socket.on("ack", (x, reply) => reply(x));
  socket.on("broadcast", (x) => io.emit("broadcast", x));
  socket.on("join", (room, joined) => {
    socket.join(room);
    joined();
  });
  socket.on("room", (room, x) => io.to(room).emit("room", x));
});

io.listen(port);
