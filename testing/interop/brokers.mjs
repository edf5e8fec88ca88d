// The official adapters over Redis wherever it may be, as their documentation has it: one server, sentinels, or a Redis Cluster.

import { readFileSync } from "node:fs";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";
import { createAdapter as createAdapter7 } from "redis-adapter-7";

/** Of the flags of CONTRACT.md. `redis-client` is `redis`, the usual one, or `ioredis`. */
export async function makeAdapter(flags) {
  const client = await connect(flags);
  if (flags.adapter === "redis-streams") return createStreamsAdapter(client, { useShardedPubSub: flags["sharded-pubsub"] });
  const subscriber = client.duplicate();
  subscriber.on("error", report);
  if (flags["redis-client"] === "redis") await subscriber.connect();
  if (flags.adapter === "redis") return createAdapter(client, subscriber);
  if (flags.adapter === "redis-7") return createAdapter7(client, subscriber);
  if (flags.adapter === "redis-sharded") {
    return createShardedAdapter(client, subscriber, { subscriptionMode: flags["subscription-mode"] });
  }
  throw new Error(`no adapter ${flags.adapter}`);
}

/** By a url as those of Sockeye are. */
async function connect(flags) {
  const [, secure, place, user, hosts, service] = flags.url.match(/^redis(s?)(?:\+(cluster|sentinel))?:\/\/(?:(.*)@)?([^/]*)\/?(.*)$/);
  const scheme = `redis${secure}://`;
  const [username, password] = user?.split(":").map(decodeURIComponent) ?? [];
  const login = user ? { username, password } : {};
  const ca = flags.ca && readFileSync(flags.ca);
  const addresses = hosts.split(",").map((each) => ({ host: each.split(":")[0], port: Number(each.split(":")[1]) }));

  let client;
  if (flags["redis-client"] === "ioredis") {
    const redisOptions = { ...login, ...(secure ? { tls: { ca } } : {}) };
    if (place === "cluster") client = new Cluster(addresses, { redisOptions, shardedSubscribers: flags.adapter === "redis-sharded" });
    else if (place === "sentinel") client = new Redis({ sentinels: addresses, name: service, ...redisOptions });
    else client = new Redis({ ...addresses[0], ...redisOptions });
    client.on("error", report);
    await new Promise((resolve) => client.once("ready", resolve));
  } else {
    const socket = secure ? { tls: true, ca } : {};
    if (place === "cluster") {
      client = createCluster({ rootNodes: hosts.split(",").map((each) => ({ url: scheme + each })), defaults: { ...login, socket } });
    } else if (place === "sentinel") throw new Error("redis 4 knows no sentinels: ioredis does");
    else client = createClient({ url: scheme + hosts, ...login, socket });
    client.on("error", report);
    await client.connect();
  }
  return client;
}

function report(error) {
  console.error(`Redis: ${error.message}`);
}
