// A TCP port in front of several nodes: new connections go to the node that was chosen last. So a client moves without knowing it.

import { createConnection, createServer } from "node:net";

/** A port that leads to a node. */
export class Switch {
  static async start() {
    const way = new Switch();
    way.sockets = new Set();
    way.server = createServer((near) => {
      const far = createConnection(way.port, "127.0.0.1");
      for (const [socket, other] of [[near, far], [far, near]]) {
        way.sockets.add(socket);
        socket.setNoDelay(true);
        socket.on("error", () => other.destroy());
        socket.on("close", () => { way.sockets.delete(socket); other.destroy(); });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise((resolve) => way.server.listen(0, "127.0.0.1", resolve));
    way.url = `http://127.0.0.1:${way.server.address().port}`;
    return way;
  }

  /** Where new connections go. */
  to(port) { this.port = port; }

  /** Cuts what is connected. */
  cut() { for (const socket of this.sockets) socket.destroy(); }

  stop() {
    this.cut();
    this.server.close();
  }
}
