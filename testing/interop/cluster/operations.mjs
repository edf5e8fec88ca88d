// What one node of a cluster can have another do, each as a check: from a client of one to clients of the other.

import assert from "node:assert/strict";
import { next, plain, sleep, until } from "../js/lib/target.mjs";

/** Values that each operation with arguments is tried with. */
export const VALUES = {
  text: { text: "é\u2028", list: [1, 2.5, null, true] },
  binary: { bytes: Buffer.from([0, 1, 254, 255]), list: ["x", Buffer.from([7])] },
};

/**
 * By name. Each gets `from` and `to`, nodes with a `client`, and `to` with one more, the `other`; a value; a name for rooms that
 * nobody else has; whether programs get values as `JSON.stringify` writes them; and whether the order of a sender is kept.
 */
export const WITH_VALUES = {
  "to all": async ({ from, to, value }) => {
    const got = next(to.client, "all");
    from.client.emit("all", value);
    same(await got, [value]);
  },
  "volatile, to all": async ({ from, to, value }) => {
    const got = next(to.client, "all");
    from.client.emit("volatile-all", value);
    same(await got, [value]);
  },
  "to a room": async ({ from, to, value, room }) => {
    await joined(from, to.client, room);
    await silent(to.other, from, async () => {
      const got = next(to.client, "room");
      from.client.emit("in-room", room, value);
      same(await got, [value]);
    });
  },
  "to rooms, with exceptions": async ({ from, to, value, room }) => {
    await ask(to.client, "join", [`${room}-1`, `${room}-2`]);
    await ask(to.other, "join", [`${room}-1`, `${room}-not`]);
    await silent(to.other, from, async () => {
      const got = next(to.client, "room");
      from.client.emit("to-except", [`${room}-1`, `${room}-2`], [`${room}-not`], value);
      same(await got, [value]);
    });
  },
  "to one socket": async ({ from, to, value }) => {
    await silent(to.other, from, async () => {
      const got = next(to.client, "room");
      from.client.emit("in-room", to.client.id, value);
      same(await got, [value]);
    });
  },
  "from a socket to the others": async ({ from, to, value }) => {
    await silent(from.client, from, async () => {
      const got = next(to.client, "broadcast");
      from.client.emit("broadcast", value);
      same(await got, [value]);
    });
  },
  "in another namespace": async ({ from, to, value }) => {
    const [sender, receiver] = [await from.node.connect("/custom"), await to.node.connect("/custom")];
    await until(async () => (await ask(sender, "server-count"))[0] === from.nodes, "not all nodes are in /custom", 10_000);
    const got = next(receiver, "all");
    sender.emit("all", value);
    same(await got, [value]);
    sender.disconnect();
    receiver.disconnect();
  },
  "with acknowledgements": async ({ from, to, value, room }) => {
    await ask(to.client, "join", room);
    await ask(from.client, "join", room);
    const answer = (got, done) => done(got);
    to.client.once("poll", answer);
    from.client.once("poll", answer);
    const [error, answers] = await ask(from.client, "broadcast-ack", room, 3000, value);
    assert.equal(error, null);
    same(answers, [value, value]);
  },
  "serverSideEmit": async ({ from, to, value, isStringified }) => {
    await silent(from.client, from, async () => {
      const got = next(to.client, "server-event");
      from.client.emit("server-emit", value);
      same(await got, [isStringified ? stringified(value) : value]);
    });
  },
  "serverSideEmit with answers": async ({ from, value, isStringified }) => {
    const [error, answers] = await ask(from.client, "server-question", value);
    assert.equal(error, null);
    same(answers, Array(from.nodes - 1).fill(isStringified ? stringified(value) : value));
  },
};

/** The same for those without values. */
export const WITHOUT_VALUES = {
  "fetchSockets": async ({ from, to, room }) => {
    await ask(to.client, "join", room);
    await ask(to.client, "set-data", { room });
    const [found] = await ask(from.client, "fetch", room);
    assert.equal(found.length, 1);
    assert.equal(found[0].id, to.client.id);
    assert.deepEqual(found[0].data, { room });
    assert.ok(found[0].rooms.includes(room));
  },
  "socketsJoin and socketsLeave": async ({ from, to, room }) => {
    await ask(to.client, "join", room);
    await ask(from.client, "sockets-join", room, [`${room}-more`]);
    const rooms = async () => (await ask(to.client, "rooms"))[0];
    await until(async () => (await rooms()).includes(`${room}-more`), "has not joined");
    await ask(from.client, "sockets-leave", room, [`${room}-more`]);
    await until(async () => !(await rooms()).includes(`${room}-more`), "has not left");
  },
  "disconnectSockets": async ({ from, to, room }) => {
    const guest = await to.node.connect();
    await ask(guest, "join", room);
    const gone = next(guest, "disconnect");
    from.client.emit("disconnect-room", room, true);
    assert.equal((await gone)[0], "io server disconnect");
  },
  "the order of a sender": async ({ from, to, room, isOrdered = true }) => {
    await joined(from, to.client, room);
    const count = 500;
    const got = [];
    const listener = (n) => got.push(n);
    to.client.on("room", listener);
    for (let n = 0; n < count; n += 1) from.client.emit("in-room", room, n);
    await until(() => got.length >= count, `only ${got.length} came`);
    to.client.off("room", listener);
    if (!isOrdered) got.sort((a, b) => a - b);
    assert.deepEqual(got, Array.from({ length: count }, (_, n) => n));
  },
};

/** Joins, and waits until what the other node sends to the room arrives: the subscription to its channel takes a moment. */
async function joined(from, client, room) {
  await ask(client, "join", room);
  let heard = false;
  client.once("probe", () => { heard = true; });
  await until(async () => {
    await from.node.ask("emit", { rooms: [room], event: "probe" });
    await sleep(20);
    return heard;
  }, "the room is not heard of");
}

/** What is left of a value that went through JSON: binaries are objects, `{ type: "Buffer", data: [...] }`. */
export function stringified(value) {
  return JSON.parse(JSON.stringify(value));
}

/** What a client's question is answered with. */
export function ask(client, event, ...args) {
  return new Promise((resolve, reject) => {
    client.timeout(8000).emit(event, ...args, (error, ...answer) => (error ? reject(new Error(`${event}: ${error.message}`)) : resolve(answer)));
  });
}

function same(got, expected) {
  assert.deepEqual(plain(got), plain(expected));
}

/** Nothing comes to the client by what `run` does: the next that comes is an event sent afterwards. */
async function silent(client, from, run) {
  // What is still on its way comes first.
  await ask(client, "rooms");
  const seen = [];
  const listener = (event, ...args) => seen.push([event, ...args]);
  client.onAny(listener);
  await run();
  const mark = `end-${Math.random()}`;
  from.client.emit("all", mark);
  await until(() => seen.some(([event, value]) => event === "all" && value === mark), "the mark did not come");
  client.offAny(listener);
  assert.deepEqual(seen, [["all", mark]]);
}
