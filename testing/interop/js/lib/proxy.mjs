// A TCP relay in front of the server that can cut what it carries and refuse what comes.

import net from "node:net";

export class Proxy {
  static async start(context, target) {
    const proxy = new Proxy();
    proxy.pairs = new Set();
    proxy.open = true;
    proxy.server = net.createServer((near) => {
      if (!proxy.open) return drop(near);
      const far = net.connect(target.port, "127.0.0.1");
      const pair = [near, far];
      proxy.pairs.add(pair);
      for (const [socket, other] of [[near, far], [far, near]]) {
        socket.on("error", () => {});
        socket.on("close", () => { proxy.pairs.delete(pair); other.destroy(); });
        socket.pipe(other);
      }
      return undefined;
    });
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    context.after(() => { proxy.cut(); proxy.server.close(); });
    return proxy;
  }

  /** Ends all connections, by a reset as a lost network does, and lets no new one in. */
  cut() {
    this.open = false;
    for (const [near, far] of this.pairs) {
      drop(near);
      drop(far);
    }
  }

  mend() { this.open = true; }
}

/** Ends a connection by a reset. One that is being opened or closed cannot be reset: Node.js would never finish with it. */
function drop(socket) {
  if (socket.connecting || socket.writableEnded || socket.destroyed) socket.destroy();
  else socket.resetAndDestroy();
}
