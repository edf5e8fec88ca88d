// Starts and stops nginx and HAProxy, in front of several nodes: each request goes to the next one, whoever sent it.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within } from "../../js/lib/target.mjs";
import { freePort } from "./redis.mjs";

const CONFIGURATIONS = {
  nginx: (folder, port, nodes) => `
    daemon off;
    worker_processes 1;
    pid ${folder}/pid;
    error_log ${folder}/error.log;
    events { worker_connections 4096; }
    http {
      access_log off;
      client_body_temp_path ${folder}/body;
      proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi;
      scgi_temp_path ${folder}/scgi;
      map $http_upgrade $connection_upgrade { default upgrade; '' close; }
      upstream nodes { ${nodes.map((node) => `server 127.0.0.1:${node};`).join(" ")} }
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass http://nodes;
          proxy_http_version 1.1;
          proxy_set_header Host $host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
        }
      }
    }`,
  haproxy: (_folder, port, nodes, checks, statistics) => `
global
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend clients
  bind 127.0.0.1:${port}
  default_backend nodes
backend nodes
  balance roundrobin
${checks ? "  option httpchk GET /readyz\n" : ""}${nodes.map((node, n) => `  server node${n} 127.0.0.1:${node}${checks ? ` check port ${checks[n]} inter 200ms fall 2 rise 1` : ""}\n`).join("")}
frontend statistics
  bind 127.0.0.1:${statistics}
  stats enable
  stats uri /
`,
};
const COMMANDS = {
  nginx: (file, folder) => ["nginx", ["-c", file, "-p", folder, "-e", join(folder, "error.log")]],
  haproxy: (file) => ["haproxy", ["-db", "-f", file]],
};

/** The names of the load balancers. */
export const BALANCERS = Object.keys(CONFIGURATIONS);

/** A running load balancer. */
export class Balancer {
  /** HAProxy asks each node for `/readyz` at a port of `checks`, if there are any. */
  static async start(name, nodes, checks) {
    const balancer = new Balancer();
    balancer.folder = mkdtempSync(join(tmpdir(), `${name}-`));
    balancer.port = await freePort();
    balancer.statistics = await freePort();
    const file = join(balancer.folder, "configuration");
    writeFileSync(file, CONFIGURATIONS[name](balancer.folder, balancer.port, nodes, checks, balancer.statistics));
    const [program, words] = COMMANDS[name](file, balancer.folder);
    balancer.child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    balancer.child.stderr.on("data", (data) => { log = (log + data).slice(-5000); });
    balancer.exit = new Promise((resolve, reject) => {
      balancer.child.once("exit", resolve);
      balancer.child.once("error", reject);
    });
    await until(() => accepts(balancer.port), `${name} does not listen`, 10_000).catch((error) => {
      throw new Error(`${error.message}: ${log}`);
    });
    return balancer;
  }

  /** Of HAProxy: for each node, whether it is in, and how often it was taken out. */
  async states() {
    const page = await (await fetch(`http://127.0.0.1:${this.statistics}/;csv`)).text();
    const [head, ...rows] = page.trim().split("\n").map((line) => line.replace(/^# /, "").split(","));
    const states = rows.map((row) => Object.fromEntries(head.map((name, n) => [name, row[n]])));
    return states.filter((row) => row.svname.startsWith("node")).map((row) => ({ status: row.status, down: Number(row.chkdown) }));
  }

  get url() { return `http://127.0.0.1:${this.port}`; }

  async stop() {
    this.child.kill("SIGTERM");
    await within(this.exit, 5000, "the load balancer did not end");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1", () => { socket.destroy(); resolve(true); });
    socket.once("error", () => resolve(false));
  });
}
