// sockeye.js: a small Socket.IO client, a subset of socket.io-client with the same names and the same behaviour on the wire.
//
// It speaks Engine.IO 4 and Socket.IO 5 over HTTP long polling and WebSocket: acknowledgements, binary, namespaces, upgrade,
// reconnection and connection state recovery. As a script it defines the global `io`; in Node 20 or later `import` it and use
// `globalThis.io` (without a global WebSocket, pass one: `io(url, { WebSocket })`).
//
// From the bottom up: Emitter, the Socket.IO codec, the two transports, Engine (one session), Manager (reconnection), Socket.
(() => {
  "use strict";

  const CONNECT = 0, DISCONNECT = 1, EVENT = 2, ACK = 3, CONNECT_ERROR = 4, BINARY_EVENT = 5, BINARY_ACK = 6;
  const RESERVED = new Set(["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]);
  const SEPARATOR = "\x1e"; // between the packets of one polling body
  const MAX_ATTACHMENTS = 100; // of one received packet
  const CONGESTED_BYTES = 65536; // waiting in the WebSocket: from here on volatile events are dropped

  const DEFAULTS = {
    path: "/socket.io", transports: ["polling", "websocket"], upgrade: true, timeout: 20000, autoConnect: true,
    reconnection: true, reconnectionAttempts: Infinity, reconnectionDelay: 1000, reconnectionDelayMax: 5000,
    randomizationFactor: 0.5, withCredentials: false, query: {},
  };

  class Emitter {
    #listeners = new Map();

    on(event, listener) {
      this.#listeners.set(event, [...this.listeners(event), listener]);
      return this;
    }

    once(event, listener) {
      const wrapper = (...args) => {
        this.off(event, wrapper);
        listener.apply(this, args);
      };
      wrapper.listener = listener;
      return this.on(event, wrapper);
    }

    /** Removes one listener, or all of an event, or all. */
    off(event, listener) {
      if (event === undefined) this.#listeners.clear();
      else if (listener === undefined) this.#listeners.delete(event);
      else this.#listeners.set(event, this.listeners(event).filter((l) => l !== listener && l.listener !== listener));
      return this;
    }

    listeners(event) { return this.#listeners.get(event) ?? []; }

    /** Calls the listeners here. `Socket.emit` sends, so the local call has a name of its own. */
    fire(event, ...args) { for (const listener of this.listeners(event)) listener.apply(this, args); }
  }

  // ---- The Socket.IO codec: one text message, followed by one binary message for each attachment.

  const isBinary = (value) =>
    value instanceof ArrayBuffer || ArrayBuffer.isView(value) || (typeof Blob === "function" && value instanceof Blob);

  /** A copy of `value` with every binary part moved to `attachments` and a placeholder left behind. */
  function extract(value, attachments) {
    if (value === null || typeof value !== "object") return value;
    if (isBinary(value)) return { _placeholder: true, num: attachments.push(value) - 1 };
    if (typeof value.toJSON === "function") return extract(value.toJSON(), attachments);
    if (Array.isArray(value)) return value.map((item) => extract(item, attachments));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, extract(item, attachments)]));
  }

  /** The reverse: puts the attachments back where their placeholders stand. */
  function restore(value, attachments) {
    if (value === null || typeof value !== "object") return value;
    if (value._placeholder === true) {
      if (!Number.isInteger(value.num) || !(value.num in attachments)) throw new Error("illegal attachments");
      return attachments[value.num];
    }
    for (const key of Object.keys(value)) value[key] = restore(value[key], attachments);
    return value;
  }

  function encode({ type, nsp, id, data }) {
    const attachments = [];
    const body = data === undefined ? "" : JSON.stringify(extract(data, attachments));
    const count = attachments.length ? `${attachments.length}-` : "";
    const kind = !count ? type : type === EVENT ? BINARY_EVENT : BINARY_ACK;
    return [`${kind}${count}${nsp === "/" ? "" : `${nsp},`}${id ?? ""}${body}`, ...attachments];
  }

  function isValid({ type, data }) {
    const isObject = typeof data === "object" && data !== null;
    if (type === CONNECT) return data === undefined || isObject;
    if (type === DISCONNECT) return data === undefined;
    if (type === CONNECT_ERROR) return typeof data === "string" || isObject;
    if (!Array.isArray(data)) return false;
    return type === ACK || typeof data[0] === "number" || (typeof data[0] === "string" && !RESERVED.has(data[0]));
  }

  class Decoder {
    #waiting = null; // the packet whose attachments are on the way

    /** Takes one message; returns a packet once it is complete, else null. Throws on anything out of the protocol. */
    add(message) {
      const waiting = this.#waiting;
      if (typeof message !== "string") {
        if (!waiting) throw new Error("unexpected binary data");
        if (waiting.attachments.push(message) < waiting.count) return null;
        this.#waiting = null;
        return { ...waiting.packet, data: restore(waiting.packet.data, waiting.attachments) };
      }
      if (waiting) throw new Error("text where an attachment was expected");
      const head = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?/.exec(message);
      if (!head) throw new Error("unknown packet type");
      const [all, digit, count, nsp = "/", id] = head;
      const kind = Number(digit);
      const binary = kind === BINARY_EVENT || kind === BINARY_ACK;
      const body = message.slice(all.length);
      const packet = { type: binary ? kind - 3 : kind, nsp, id: id === undefined ? undefined : Number(id) };
      packet.data = body === "" ? undefined : JSON.parse(body);
      if (!isValid(packet) || binary !== (count !== undefined)) throw new Error("invalid packet");
      if (!binary) return packet;
      if (!(count > 0 && count <= MAX_ATTACHMENTS)) throw new Error("illegal attachments");
      this.#waiting = { packet, count: Number(count), attachments: [] };
      return null;
    }
  }

  // ---- Transports. Both carry Engine.IO packets: text with its type digit, or binary, which is always a message.
  // They call back `onopen` (WebSocket only), `onpacket`, `ondrain` and `onclose(error?)`, the last one at most once.

  async function toBase64(binary) {
    const buffer = isBinary(binary) && binary.arrayBuffer ? await binary.arrayBuffer() : binary;
    const bytes = ArrayBuffer.isView(buffer)
      ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
      : new Uint8Array(buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  }

  const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;

  class Polling {
    name = "polling";
    #engine;
    #abort = new AbortController();
    #closed = false;
    #paused = false;
    #reading = null; // settles when the loop of GETs has stopped
    #writing = null; // settles when the current POST is done; null between POSTs

    constructor(engine) { this.#engine = engine; }

    get ready() { return !this.#closed && !this.#paused && !this.#writing; }

    get congested() { return !this.ready; }

    open() {
      this.#paused = false;
      this.#reading = this.#read();
    }

    /** Stops polling for an upgrade; resolves when nothing is on the way any more. `open` goes on. */
    async pause() {
      this.#paused = true;
      await Promise.all([this.#reading, this.#writing]);
    }

    send(packets) { this.#writing = this.#write(packets); }

    /** With `politely` the server is told; its answer to that also ends the pending GET. */
    close(politely) {
      if (this.#closed) return;
      this.#closed = true;
      const told = politely ? this.#request("POST", "1").catch(() => {}) : Promise.resolve();
      told.then(() => this.#abort.abort());
    }

    async #read() {
      try {
        while (!this.#closed && !this.#paused) {
          const body = await this.#request("GET");
          for (const packet of body.split(SEPARATOR)) {
            if (this.#closed) return;
            this.onpacket(packet[0] === "b" ? fromBase64(packet.slice(1)) : packet);
          }
        }
      } catch (cause) {
        this.#fail(cause);
      }
    }

    async #write(packets) {
      const text = await Promise.all(packets.map(async (p) => (isBinary(p) ? `b${await toBase64(p)}` : p)));
      try {
        await this.#request("POST", text.join(SEPARATOR));
        this.#writing = null;
        if (!this.#closed) this.ondrain();
      } catch (cause) {
        this.#fail(cause);
      }
    }

    async #request(method, body) {
      const { withCredentials, extraHeaders } = this.#engine.opts;
      const headers = { ...extraHeaders, ...(body === undefined ? {} : { "content-type": "text/plain;charset=UTF-8" }) };
      const response = await fetch(this.#engine.url("polling"), {
        method, body, headers, signal: this.#abort.signal, cache: "no-store",
        credentials: withCredentials ? "include" : "same-origin",
      });
      if (!response.ok) throw new Error(`status ${response.status}`);
      return response.text();
    }

    #fail(cause) {
      if (this.#closed) return;
      this.#closed = true;
      this.#abort.abort();
      this.onclose(Object.assign(new Error("xhr poll error", { cause }), { type: "TransportError" }));
    }
  }

  class WebSocketTransport {
    name = "websocket";
    #engine;
    #socket = null;
    #closed = false;

    constructor(engine) { this.#engine = engine; }

    get ready() { return !this.#closed && this.#socket?.readyState === 1; }

    get congested() { return !this.ready || this.#socket.bufferedAmount > CONGESTED_BYTES; }

    open() {
      const Implementation = this.#engine.opts.WebSocket ?? globalThis.WebSocket;
      try {
        this.#socket = new Implementation(this.#engine.url("websocket"), this.#engine.opts.protocols ?? []);
      } catch (cause) {
        queueMicrotask(() => this.#end(cause));
        return;
      }
      const socket = this.#socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => this.#closed || this.onopen();
      socket.onmessage = ({ data }) => this.#closed || this.onpacket(data);
      socket.onerror = (event) => this.#end(event.error ?? event);
      socket.onclose = () => this.#end();
    }

    send(packets) {
      for (const packet of packets) this.#socket.send(packet);
      queueMicrotask(() => this.#closed || this.ondrain());
    }

    close() {
      this.#closed = true;
      this.#socket?.close();
    }

    #end(cause) {
      if (this.#closed) return;
      this.close();
      this.onclose(cause && Object.assign(new Error("websocket error", { cause }), { type: "TransportError" }));
    }
  }

  const TRANSPORTS = { polling: Polling, websocket: WebSocketTransport };

  // ---- Engine: one Engine.IO session, from its handshake to its end. Never reopened; the manager makes a new one.
  // Fires `open`, `message`, `ping`, `upgrade` and, exactly once, `close(reason, error?)`.

  class Engine extends Emitter {
    id = null;
    readyState = "opening"; // opening, open, closing (the rest of the queue still goes out), closed
    maxPayload = 0;
    #origin;
    #queue = [];
    #inFlight = 0; // how many packets at the head of the queue the transport has
    #probe = null;
    #upgrading = false;
    #handshake = null;
    #deadline = 0;
    #timer = null;

    constructor(origin, opts) {
      super();
      this.#origin = origin;
      this.opts = opts;
      const Transport = TRANSPORTS[opts.transports.find((name) => name in TRANSPORTS)];
      if (!Transport) throw new Error("no known transport");
      this.transport = null;
      this.#use(new Transport(this));
      this.transport.onopen = () => {};
      this.transport.open();
    }

    url(transport) {
      const url = new URL(`${this.opts.path.replace(/\/$/, "")}/`, this.#origin);
      if (transport === "websocket") url.protocol = url.protocol.replace("http", "ws");
      const query = new URLSearchParams(this.opts.query);
      query.set("EIO", "4");
      query.set("transport", transport);
      if (transport === "polling") query.set("t", `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}`);
      if (this.id) query.set("sid", this.id);
      url.search = query;
      return url.href;
    }

    write(message) { this.#send(typeof message === "string" ? `4${message}` : message); }

    /** True once the server has been silent for too long, also when a sleeping machine has let no timer fire. */
    get expired() {
      if (this.#deadline === 0 || Date.now() <= this.#deadline) return false;
      queueMicrotask(() => this.end("ping timeout"));
      return true;
    }

    /** Closes after what is queued has been sent. */
    close() {
      if (this.readyState === "opening" || this.readyState === "open") this.readyState = "closing";
      this.#finishClosing();
    }

    #use(transport) {
      this.transport = transport;
      transport.onpacket = (packet) => this.#receive(packet);
      transport.onclose = (error) => this.end(error ? "transport error" : "transport close", error);
      transport.ondrain = () => {
        this.#queue.splice(0, this.#inFlight);
        this.#inFlight = 0;
        this.#flush();
        this.#finishClosing();
      };
    }

    #receive(packet) {
      if (this.readyState === "closed") return;
      if (typeof packet !== "string") return this.fire("message", packet);
      const data = packet.slice(1);
      switch (packet[0]) {
        case "0": return this.#open(data);
        case "1": return this.end("transport close");
        case "2":
          this.#expectPing();
          this.#send(`3${data}`);
          return this.fire("ping");
        case "4": return this.fire("message", data);
        case "6": return undefined;
        default: return this.end("transport error", new Error("server error"));
      }
    }

    #open(data) {
      try {
        this.#handshake = JSON.parse(data);
      } catch (error) {
        return this.end("parse error", error);
      }
      this.id = this.#handshake.sid;
      this.maxPayload = this.#handshake.maxPayload;
      if (this.readyState === "opening") this.readyState = "open";
      this.#expectPing();
      this.fire("open");
      this.#flush();
      const { upgrade, transports } = this.opts;
      const wanted = upgrade && transports.includes("websocket") && this.#handshake.upgrades.includes("websocket");
      if (wanted && this.readyState === "open" && this.transport.name === "polling") this.#upgrade();
    }

    #expectPing() {
      const wait = this.#handshake.pingInterval + this.#handshake.pingTimeout;
      this.#deadline = Date.now() + wait;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.end("ping timeout"), wait);
    }

    // probe over WebSocket, let the polls run dry, then switch; until that last step the session lives on polling alone
    #upgrade() {
      const probe = (this.#probe = new WebSocketTransport(this));
      const polling = this.transport;
      const fail = () => {
        if (this.#probe !== probe) return;
        this.#probe = null;
        probe.close();
        if (this.#upgrading) polling.pause().then(() => this.readyState !== "closed" && this.#resume(polling));
      };
      probe.ondrain = () => {};
      probe.onclose = fail;
      probe.onopen = () => probe.send(["2probe"]);
      probe.onpacket = async (packet) => {
        if (packet !== "3probe") return fail();
        this.#upgrading = true;
        await polling.pause();
        if (this.readyState === "closed" || this.#probe !== probe) return;
        this.#probe = null;
        this.#upgrading = false;
        this.#use(probe);
        probe.send(["5"]);
        this.fire("upgrade", probe);
        this.#flush();
        this.#finishClosing();
      };
      probe.open();
    }

    #resume(polling) {
      this.#upgrading = false;
      polling.open();
      this.#flush();
      this.#finishClosing();
    }

    #send(packet) {
      if (this.readyState === "closed" || this.readyState === "closing") return;
      this.#queue.push(packet);
      this.#flush();
    }

    #flush() {
      const idle = this.#inFlight === 0 && this.#queue.length > 0;
      if (!idle || this.#upgrading || this.readyState === "closed" || !this.id || !this.transport.ready) return;
      this.#inFlight = this.transport.name === "polling" ? this.#batch() : this.#queue.length;
      this.transport.send(this.#queue.slice(0, this.#inFlight));
    }

    /** How many queued packets go into one POST without passing the server's limit; at least one. */
    #batch() {
      const encoder = new TextEncoder();
      let size = 0;
      let count = 0;
      for (const packet of this.#queue) {
        const bytes = packet.byteLength ?? packet.size;
        size += 1 + (bytes === undefined ? encoder.encode(packet).length : 1 + Math.ceil(bytes / 3) * 4);
        if (count > 0 && this.maxPayload && size > this.maxPayload) break;
        count += 1;
      }
      return count;
    }

    #finishClosing() {
      if (this.readyState === "closing" && !this.#upgrading && (this.#queue.length === 0 || !this.id)) {
        this.end("forced close");
      }
    }

    /** Closes at once. */
    end(reason, error) {
      if (this.readyState === "closed") return;
      this.readyState = "closed";
      clearTimeout(this.#timer);
      this.#deadline = 0;
      const probe = this.#probe;
      this.#probe = null;
      probe?.close();
      this.transport.close(reason === "forced close" && this.id !== null);
      this.#queue = [];
      this.fire("close", reason, error);
    }
  }

  // ---- Manager: keeps one engine going for all namespaces of a server.

  class Manager extends Emitter {
    engine = undefined;
    nsps = {};
    #origin;
    #attempts = 0;
    #timer = null; // of the connection attempt or of the wait before the next one
    #waiting = false; // for the next attempt
    #online = () => this.#waiting && this.#retry();
    #offline = () => this.engine?.readyState === "open" && this.engine.end("transport close");

    constructor(origin, opts) {
      super();
      this.#origin = origin;
      this.opts = opts;
    }

    get connected() { return this.engine?.readyState === "open"; }

    socket(nsp, opts = this.opts) { return (this.nsps[nsp] ??= new Socket(this, nsp, opts)); }

    open() {
      if (this.#waiting || ["opening", "open"].includes(this.engine?.readyState)) return this;
      return this.#start();
    }

    send(packet) { for (const message of encode(packet)) this.engine.write(message); }

    /** Closes the connection when no namespace needs it any more. */
    release() {
      if (Object.values(this.nsps).some((socket) => socket.active)) return;
      clearTimeout(this.#timer);
      this.#waiting = false;
      this.#attempts = 0;
      globalThis.removeEventListener?.("online", this.#online);
      globalThis.removeEventListener?.("offline", this.#offline);
      this.engine?.close();
    }

    #start() {
      globalThis.addEventListener?.("online", this.#online); // adding it again changes nothing
      globalThis.addEventListener?.("offline", this.#offline);
      const engine = (this.engine = new Engine(this.#origin, this.opts));
      const decoder = new Decoder();
      let opened = false;
      let timedOut = false;
      if (this.opts.timeout !== false) {
        this.#timer = setTimeout(() => ((timedOut = true), engine.end("transport error")), this.opts.timeout);
      }
      engine.on("open", () => {
        opened = true;
        clearTimeout(this.#timer);
        const attempts = this.#attempts;
        this.#attempts = 0;
        this.fire("open");
        this.#each((socket) => socket.onopen());
        if (attempts > 0) this.fire("reconnect", attempts);
      });
      engine.on("ping", () => this.fire("ping"));
      engine.on("message", (message) => {
        if (this.engine !== engine || engine.readyState === "closing") return;
        try {
          const packet = decoder.add(message);
          // a task of its own: an exception in a listener is the page's error, not one of the protocol
          if (packet) queueMicrotask(() => this.nsps[packet.nsp]?.onpacket(packet));
        } catch (error) {
          engine.end("parse error");
        }
      });
      engine.on("close", (reason, error) => {
        if (reason === "forced close") return;
        // behind the packets that came before it
        queueMicrotask(() => this.engine === engine && this.#onclose(opened, reason, timedOut ? new Error("timeout") : error));
      });
      return this;
    }

    #onclose(opened, reason, error) {
      clearTimeout(this.#timer);
      if (opened) {
        this.fire("close", reason, error);
        this.#each((socket) => socket.onclose(reason, error));
      } else {
        const failure = error ?? new Error(reason);
        this.fire("error", failure);
        if (this.#attempts > 0) this.fire("reconnect_error", failure);
        this.#each((socket) => socket.onfailure(failure));
      }
      this.#reconnect();
    }

    #reconnect() {
      if (!this.opts.reconnection || this.#waiting) return;
      if (!Object.values(this.nsps).some((socket) => socket.active)) return;
      if (["opening", "open"].includes(this.engine?.readyState)) return; // a listener has connected again by itself
      if (this.#attempts >= this.opts.reconnectionAttempts) {
        this.#attempts = 0;
        return this.fire("reconnect_failed");
      }
      const { reconnectionDelay, reconnectionDelayMax, randomizationFactor } = this.opts;
      const base = reconnectionDelay * 2 ** Math.min(this.#attempts, 30);
      const jitter = base * randomizationFactor * (2 * Math.random() - 1);
      this.#attempts += 1;
      this.#waiting = true;
      this.#timer = setTimeout(() => this.#retry(), Math.min(base + jitter, reconnectionDelayMax));
    }

    #retry() {
      clearTimeout(this.#timer);
      this.fire("reconnect_attempt", this.#attempts);
      if (!this.#waiting) return; // a listener has given up
      this.#waiting = false;
      this.#start();
    }

    #each(action) {
      Object.values(this.nsps).filter((socket) => socket.active).forEach(action);
    }
  }

  // ---- Socket: one namespace, the object that the application holds.

  class Socket extends Emitter {
    id = undefined;
    connected = false;
    recovered = false;
    active = false; // wants to be connected: waiting for it, or is
    #sendBuffer = [];
    #receiveBuffer = [];
    #acks = new Map();
    #ackId = 0;
    #flags = {};
    #any = [];
    #pid = undefined; // names the session on the server, for recovery
    #offset = undefined; // of the last event received

    constructor(manager, nsp, opts) {
      super();
      this.io = manager;
      this.nsp = nsp;
      this.auth = opts.auth;
    }

    get disconnected() { return !this.connected; }

    /** The next emit is dropped rather than kept if it cannot go out at once. */
    get volatile() {
      this.#flags.volatile = true;
      return this;
    }

    /** The next emit's acknowledgement is called with an error first, and that after `ms` without an answer. */
    timeout(ms) {
      this.#flags.timeout = ms;
      return this;
    }

    /** Accepted for compatibility: browsers decide about compression themselves. */
    compress() { return this; }

    connect() {
      const waiting = this.active;
      this.active = true;
      if (!this.io.connected) this.io.open();
      else if (!waiting) this.onopen();
      return this;
    }

    disconnect() {
      if (this.connected && this.io.connected) this.#packet({ type: DISCONNECT });
      this.active = false;
      this.io.release();
      if (this.connected) this.onclose("io client disconnect");
      return this;
    }

    send(...args) { return this.emit("message", ...args); }

    emit(event, ...args) {
      if (RESERVED.has(event)) throw new Error(`"${event}" is a reserved event name`);
      const { volatile, timeout, promised } = this.#flags;
      this.#flags = {};
      const live = this.connected && this.io.connected && !this.io.engine.expired;
      const drop = volatile && !(live && !this.io.engine.transport.congested);
      const packet = { type: EVENT, data: [event, ...args] };
      if (typeof args.at(-1) === "function") {
        packet.id = this.#ackId++;
        this.#expectAck(packet.id, packet.data.pop(), timeout, promised);
      }
      if (drop) return this;
      if (live) this.#packet(packet);
      else this.#sendBuffer.push(packet);
      return this;
    }

    emitWithAck(event, ...args) {
      return new Promise((resolve, reject) => {
        this.#flags.promised = true;
        this.emit(event, ...args, (error, value) => (error ? reject(error) : resolve(value)));
      });
    }

    /** `listener(event, ...args)` for every event received, before its own listeners. */
    onAny(listener) {
      this.#any = [...this.#any, listener];
      return this;
    }

    offAny(listener) {
      this.#any = listener ? this.#any.filter((l) => l !== listener) : [];
      return this;
    }

    // The rest is called by the manager.

    onopen() {
      this.#receiveBuffer = []; // of an attempt that broke off: the server sends it again
      const answer = (auth) => {
        const recovery = this.#pid ? { pid: this.#pid, offset: this.#offset } : undefined;
        this.#packet({ type: CONNECT, data: recovery ? { ...recovery, ...auth } : auth });
      };
      if (typeof this.auth === "function") this.auth(answer);
      else answer(this.auth);
    }

    onfailure(error) { if (!this.connected) this.fire("connect_error", error); }

    onclose(reason, details) {
      if (!this.connected) return;
      this.connected = false;
      this.id = undefined;
      this.fire("disconnect", reason, details);
      const kept = new Set(this.#sendBuffer.map((packet) => packet.id));
      for (const [id, ack] of this.#acks) {
        if (kept.has(id)) continue;
        this.#acks.delete(id);
        if (ack.errorFirst) ack(new Error("socket has been disconnected"));
      }
    }

    onpacket({ type, id, data }) {
      switch (type) {
        case CONNECT: return this.#onconnect(data ?? {});
        case EVENT: {
          const args = id === undefined ? data : [...data, this.#answer(id)];
          return this.connected ? this.#dispatch(args) : void this.#receiveBuffer.push(args);
        }
        case ACK: {
          const ack = this.#acks.get(id);
          this.#acks.delete(id);
          return ack?.errorFirst ? ack(null, ...data) : ack?.(...data);
        }
        case DISCONNECT:
          this.active = false;
          this.io.release();
          return this.onclose("io server disconnect");
        default: // CONNECT_ERROR
          this.active = false;
          this.io.release();
          return this.fire("connect_error", Object.assign(new Error(data.message ?? data), { data: data.data }));
      }
    }

    #onconnect({ sid, pid }) {
      if (!this.active) return;
      this.id = sid;
      this.recovered = pid !== undefined && pid === this.#pid;
      this.#pid = pid;
      this.connected = true;
      // a recovering server sends what was missed before its answer: deliver that first
      for (const args of this.#receiveBuffer.splice(0)) this.#dispatch(args);
      for (const packet of this.#sendBuffer.splice(0)) this.#packet(packet);
      this.fire("connect");
    }

    #dispatch(args) {
      if (this.#pid && typeof args.at(-1) === "string") this.#offset = args.at(-1);
      for (const listener of this.#any) listener.apply(this, args);
      this.fire(...args);
    }

    #expectAck(id, callback, timeout, promised) {
      let timer;
      const ack = (...args) => {
        clearTimeout(timer);
        callback.apply(this, args);
      };
      ack.errorFirst = promised || timeout !== undefined;
      this.#acks.set(id, ack);
      if (timeout === undefined) return;
      timer = setTimeout(() => {
        this.#acks.delete(id);
        this.#sendBuffer = this.#sendBuffer.filter((packet) => packet.id !== id);
        ack(new Error("operation has timed out"));
      }, timeout);
    }

    #answer(id) {
      let sent = false;
      return (...args) => {
        if (!sent) this.#packet({ type: ACK, id, data: args });
        sent = true;
      };
    }

    #packet(packet) {
      this.io.send({ ...packet, nsp: this.nsp });
    }
  }

  Socket.prototype.open = Socket.prototype.connect;
  Socket.prototype.close = Socket.prototype.disconnect;

  const managers = new Map(); // by server and path, so that namespaces share a connection

  /**
   * The socket of a namespace: `io()`, `io("/chat")`, `io("https://host/chat?token=1", opts)`. Connects by itself unless
   * `autoConnect` is false. Namespaces of one server share a connection; `forceNew` or the same namespace again makes another.
   */
  function io(url, options) {
    const opts = { ...DEFAULTS, ...(typeof url === "object" ? url : options) };
    const target = new URL(typeof url === "string" ? url : "/", globalThis.location?.href ?? "http://localhost");
    if (target.protocol.startsWith("ws")) target.protocol = target.protocol.replace("ws", "http");
    if (target.search && !Object.keys(opts.query).length) opts.query = Object.fromEntries(target.searchParams);
    const nsp = target.pathname;
    const key = `${target.origin} ${opts.path}`;
    let manager = managers.get(key);
    if (!manager || opts.forceNew || opts.multiplex === false || nsp in manager.nsps) {
      manager = new Manager(target.origin, opts);
      if (!opts.forceNew && !managers.has(key)) managers.set(key, manager);
    }
    const socket = manager.socket(nsp, opts);
    if (opts.autoConnect) socket.connect();
    return socket;
  }

  globalThis.io = Object.assign(io, { io, connect: io, Manager, Socket, protocol: 5 });
})();
