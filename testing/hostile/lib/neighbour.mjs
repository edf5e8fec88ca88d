// Neighbours, as a process: official clients, each of which asks every 20 ms and measures how long the answer takes.
//
// They ask whether or not the last answer has come, so that a server that stands still is seen for as long as it does. There is one
// for each of the server's threads, as consecutive sessions are on different ones; what is reported is what the worst of them felt.

import { io } from "socket.io-client";
import { options, serve } from "./process.mjs";
import { summary } from "./figures.mjs";

const INTERVAL = 20;
/** How long what was asked before is waited for, when a phase ends. */
const GRACE = 5000;

class Neighbour {
  constructor() {
    this.lost = 0;
    this.unanswered = 0;
    this.waiting = new Set();
    this.took = [];
    this.socket = io(options.url + options.namespace, {
      transports: ["websocket"],
      localAddress: options.address,
      rejectUnauthorized: false,
      forceNew: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 500,
    });
    this.socket.on("disconnect", () => {
      this.lost += 1;
      this.giveUp();
    });
    this.ready = new Promise((resolve) => this.socket.once("connect", resolve));
  }

  ask() {
    // What was lost is counted once, not again for each question.
    if (!this.socket.connected) return;
    // What it took belongs to the phase in which it was asked.
    const question = { started: performance.now(), took: this.took };
    this.waiting.add(question);
    this.socket.emit("ack", 1, () => {
      if (this.waiting.delete(question)) question.took.push(performance.now() - question.started);
    });
  }

  /** The figures of the phase that ends now. */
  async finish() {
    const { took } = this;
    const mine = [...this.waiting];
    this.took = [];
    const end = Date.now() + GRACE;
    while (mine.some((question) => this.waiting.has(question)) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.giveUp(mine);
    const { lost, unanswered } = this;
    Object.assign(this, { lost: 0, unanswered: 0 });
    return { ...summary(took), unanswered, lost };
  }

  /** Questions that are not answered any more took until now. */
  giveUp(questions = [...this.waiting]) {
    for (const question of questions) {
      if (!this.waiting.delete(question)) continue;
      question.took.push(performance.now() - question.started);
      this.unanswered += 1;
    }
  }
}

const neighbours = [];
for (let n = 0; n < options.count; n += 1) {
  const neighbour = new Neighbour();
  await neighbour.ready;
  neighbours.push(neighbour);
}
setInterval(() => { for (const neighbour of neighbours) neighbour.ask(); }, INTERVAL);

serve(async (message) => {
  if (message.finish) {
    const figures = await Promise.all(neighbours.map((neighbour) => neighbour.finish()));
    process.send({ figures });
  }
  if (message.isServed) {
    const answers = neighbours.map(({ socket }) => socket.timeout(message.isServed).emitWithAck("ack", 1).then(() => true, () => false));
    process.send({ served: (await Promise.all(answers)).every(Boolean) });
  }
});
process.send({ ready: true });
