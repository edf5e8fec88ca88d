// The chat page. The server behind it has no code for it, only declared routes: events go to the room that they name, with
// the sender's `{ id, data }` appended by the server, and presence tells who is in which room.
//
// In order: the DOM, the stored profile, rooms, their timelines, sending, receiving, presence, files, the connection.

const ACK_MS = 10000; // waiting for the server's acknowledgement of a message; files get three times that
const TRIES = 5; // then a message counts as not sent, and the user decides
const KEEP = 300; // entries of a room's timeline
const CROWD = 25; // above so many members a room shows no ticks of readers and no comings and goings
const AWAY_MS = 6000; // a member who returns within this time has not left
const TYPING_MS = 5000; // how long "is typing" stands without news
const MAX_FILES = 6;
const MAX_TEXT = 4000;
const COLORS = ["#c2410c", "#b91c4c", "#7e3fbf", "#4f56d3", "#1d6fb8", "#0f766e", "#3a7a1e", "#8a6116"];
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];

// ---- the DOM

const $ = (id) => document.getElementById(id);

/** An element: `el("li", { class: "x", text: "y", data: { id: 1 }, onclick }, ...children)`. */
function el(tag, { class: names, text, data = {}, ...rest } = {}, ...children) {
  const node = document.createElement(tag);
  if (names) node.className = names;
  if (text !== undefined) node.textContent = text;
  Object.assign(node.dataset, data);
  Object.assign(node, rest);
  node.append(...children.filter(Boolean));
  return node;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

function avatar({ name, color }) {
  const words = name.trim().split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)].map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 2);
  const node = el("span", { class: "avatar", text: letters.join("").toUpperCase(), ariaHidden: "true" });
  node.style.setProperty("--who", color);
  return node;
}

const timeOf = (date) => new Intl.DateTimeFormat(undefined, { timeStyle: "short" }).format(date);
const listOf = (names) => new Intl.ListFormat("en-GB").format(names);
const sizeOf = (bytes) => (bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const makeId = () => [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(36).padStart(2, "0")).join("");
const pick = (list) => list[Math.floor(Math.random() * list.length)];

let toastTimer;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("toast").hidden = true), 2500);
}

// ---- the profile, kept in this browser

const stored = (() => {
  try {
    return JSON.parse(localStorage.getItem("sockeye-chat")) ?? {};
  } catch {
    return {};
  }
})();
const profile = { name: stored.name ?? "", color: stored.color ?? pick(COLORS) };

function store() {
  try {
    localStorage.setItem("sockeye-chat", JSON.stringify({ ...profile, rooms: [...rooms.keys()] }));
  } catch {
    // a browser that stores nothing asks for the name again next time
  }
}

/** What another client says of itself, made safe to show. */
function person(sender) {
  const name = typeof sender?.data?.name === "string" && sender.data.name.trim() ? sender.data.name.slice(0, 40) : "Somebody";
  const given = sender?.data?.color;
  const hash = [...name].reduce((sum, char) => (sum * 31 + char.codePointAt(0)) % 9973, 7);
  const color = /^#[0-9a-f]{6}$/i.test(given) ? given : COLORS[hash % COLORS.length];
  return { id: String(sender?.id), name, color, away: 0 };
}

/** Asks for name and colour; resolves once there is a name. */
function askProfile() {
  const suggestion = `${pick(["Brave", "Calm", "Clever", "Curious", "Gentle", "Lucky", "Quick", "Sunny"])} ${pick(["Heron", "Lynx", "Otter", "Puffin", "Salmon", "Seal", "Trout", "Wren"])}`;
  const first = !profile.name;
  $("name").value = profile.name || suggestion;
  $("profile-title").textContent = first ? "Welcome to Sockeye" : "Your name and colour";
  $("profile-form").querySelector(".primary").textContent = first ? "Start chatting" : "Save";
  $("colors").replaceChildren(...COLORS.map((color, index) => {
    const radio = el("input", { type: "radio", name: "color", value: color, checked: color === profile.color, ariaLabel: `Colour ${index + 1}` });
    radio.style.setProperty("--who", color);
    return radio;
  }));
  $("profile").showModal();
  $("name").select();
  return new Promise((resolve) => {
    $("profile").oncancel = (event) => first && event.preventDefault();
    $("profile").onclose = () => {
      const name = $("name").value.trim().slice(0, 40);
      const color = $("colors").querySelector(":checked")?.value ?? profile.color;
      const closed = !first && $("profile").returnValue !== "save";
      if (closed || (name === profile.name && color === profile.color)) return resolve(false);
      if (!name) return $("profile").showModal();
      Object.assign(profile, { name, color });
      $("me").replaceChildren(avatar(profile), el("span", { text: name }));
      store();
      return resolve(true);
    };
    $("profile").returnValue = "";
  });
}

// ---- rooms

const rooms = new Map(); // by name, in the order of the list
const departed = new Set(); // names of rooms left while offline: a recovered session is still in them
let current = null;
let socket = null;

const roomName = (text) => text.trim().toLowerCase().replace(/^#+/, "").replace(/\s+/g, "-").slice(0, 40);
const hashRoom = () => {
  try {
    return roomName(decodeURIComponent(location.hash));
  } catch {
    return "";
  }
};

/** Adds a room to the list and, when connected, joins it. */
function enter(name) {
  if (rooms.has(name)) return rooms.get(name);
  // the role is not the list's own: that would no longer be a list
  const list = el("ol");
  const log = el("div", { class: "log", hidden: true, tabIndex: 0, ariaLabel: `Messages in ${name}` }, list);
  log.setAttribute("role", "log");
  const room = {
    name, log, list, joined: false, unread: [], items: new Map(), members: new Map(), typing: new Map(), last: "", lastItem: null, stuck: true,
    empty: el("li", { class: "empty" },
      el("span", { class: "logo" }, icon("fish")),
      el("strong", { text: `This is #${name}` }),
      el("span", { text: "Open this page in a second tab, or send somebody the link, and say hello." }),
      el("button", { class: "primary", type: "button", text: "Copy the link", onclick: copyLink })),
  };
  room.empty.querySelector("svg").classList.add("fill");
  list.append(room.empty);
  log.onscroll = () => {
    room.stuck = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    if (room.stuck && room.unread.length) readAll();
  };
  $("logs").append(log);
  rooms.set(name, room);
  departed.delete(name);
  store();
  join(room);
  return room;
}

function join(room) {
  if (!socket?.connected) return;
  socket.timeout(ACK_MS).emit("join", { room: room.name }, (error, reply) => {
    if (error) return socket.connected && rooms.has(room.name) && join(room);
    if (reply?.ok === false) return note(room, `You cannot join #${room.name}: ${reply.error ?? "refused"}`, "bad");
    room.joined = true;
    refreshMembers(room);
    return flush();
  });
}

function leave(room) {
  if (socket?.connected) socket.emit("leave", { room: room.name });
  else departed.add(room.name);
  rooms.delete(room.name);
  room.log.remove();
  outbox.filter((item) => item.room === room).forEach((item) => outbox.splice(outbox.indexOf(item), 1));
  for (const item of room.items.values()) release(item);
  for (const member of room.members.values()) clearTimeout(member.away);
  store();
  if (room === current) location.hash = `#${[...rooms.keys()][0] ?? "lobby"}`;
  showRooms();
}

function show(room) {
  if (current && current !== room) typing(false);
  if (current) current.log.hidden = true;
  const changed = current !== room;
  current = room;
  room.log.hidden = false;
  if (room.unread.length) note(room, newsOf(room.unread.length), "fresh", room.unread[0].node);
  $("title").textContent = `#${room.name}`;
  $("text").placeholder = `Message #${room.name}`;
  $("app").classList.remove("show-rooms", "show-people");
  if (changed && room.stuck) room.log.scrollTop = room.log.scrollHeight;
  readAll();
  showMembers();
}

function showRooms() {
  $("rooms").replaceChildren(...[...rooms.values()].map((room) => {
    const count = room.unread.length;
    const row = el("li", { class: `room${room === current ? " current" : ""}${count ? " unread" : ""}`, data: { room: room.name } },
      el("a", { href: `#${encodeURIComponent(room.name)}`, ariaCurrent: room === current ? "page" : null },
        el("span", { class: "hash", text: "#", ariaHidden: "true" }),
        el("span", { class: "words" }, el("span", { class: "label", text: room.name }), el("span", { class: "last", text: room.last })),
        count ? el("b", { class: "badge", text: count > 99 ? "99+" : count }) : null,
        count ? el("span", { class: "hidden", text: " unread" }) : null),
      rooms.size > 1 ? el("button", { class: "leave", type: "button", ariaLabel: `Leave ${room.name}`, onclick: () => leave(room) }, icon("close")) : null);
    return row;
  }));
  const all = [...rooms.values()].reduce((sum, room) => sum + room.unread.length, 0);
  $("elsewhere").hidden = all === 0;
  $("elsewhere").textContent = all > 99 ? "99+" : all;
  $("elsewhere-unit").textContent = all ? " unread" : "";
  document.title = `${all ? `(${all}) ` : ""}#${current?.name ?? "lobby"} · Sockeye`;
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href); // there is no clipboard on plain HTTP
    toast("Link copied");
  } catch {
    toast(`The link is ${location.href}`);
  }
}

// ---- timelines

/** Puts a node at the end of a timeline (or before `anchor`), drops the oldest, and follows if the end was in view. */
function append(room, node, anchor = null) {
  room.empty.remove();
  room.list.insertBefore(node, anchor);
  while (room.list.children.length > KEEP) {
    const oldest = room.list.firstElementChild;
    const item = room.items.get(oldest.dataset.id);
    if (item) release(item);
    room.items.delete(oldest.dataset.id);
    oldest.remove();
  }
  if (room.stuck) room.log.scrollTop = room.log.scrollHeight;
}

function release(item) {
  if (item.url) URL.revokeObjectURL(item.url);
}

/** A line of the system: `kind` is plain (undefined), "good", "warn", "bad" (about the connection), "day" or "fresh". */
function note(room, text, kind, anchor) {
  const connection = ["good", "warn", "bad"].includes(kind);
  const node = el("li", { class: `note ${connection ? "link" : kind ?? ""}`, text, data: kind ? { kind } : {} });
  if (kind !== "day" && kind !== "fresh") room.lastItem = null;
  if (kind === "fresh") room.log.querySelector(".fresh")?.remove();
  append(room, node, anchor);
  return node;
}

/** Shows a message or file. `item`: { id, room, kind, payload, sender, own, date, state }. */
function post(item) {
  const { room, id, kind, payload, sender, own } = item;
  const previous = room.lastItem;
  if (room.day !== item.date.toDateString()) {
    room.day = item.date.toDateString();
    const today = room.day === new Date().toDateString();
    note(room, today ? "Today" : new Intl.DateTimeFormat(undefined, { dateStyle: "full" }).format(item.date), "day");
  }
  const grouped = previous && previous.own === own && (own || previous.sender.id === sender.id) && item.date - previous.date < 180000;
  const bubble = el("div", { class: "bubble" });
  if (kind === "message") fillText(bubble, payload.text);
  else fillFile(bubble, item);
  item.ticks = own ? el("span", { class: "ticks" }) : null;
  bubble.append(el("span", { class: "meta" }, el("time", { text: timeOf(item.date), dateTime: item.date.toISOString() }), item.ticks));
  item.node = el("li", { class: `message${own ? " own" : ""}${grouped ? " grouped" : ""}`, data: { id } },
    own ? null : avatar(sender), own ? null : el("span", { class: "name", text: sender.name }), bubble);
  room.items.set(id, item);
  room.last = `${own ? "You" : sender.name}: ${kind === "message" ? payload.text : payload.name}`;
  if (own) room.stuck = true;
  append(room, item.node);
  room.lastItem = item;
  if (own) setState(item, item.state);
}

/** Text with its links made clickable; nothing else in it is markup. */
function fillText(bubble, text) {
  if (/^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\u200d\ufe0f\p{Extended_Pictographic}]*){1,3}$/u.test(text)) bubble.classList.add("emoji");
  let end = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"]+[^\s<>"'.,;:!?)\]]/g)) {
    bubble.append(text.slice(end, match.index), el("a", { href: match[0], text: match[0], target: "_blank", rel: "noopener noreferrer" }));
    end = match.index + match[0].length;
  }
  bubble.append(text.slice(end));
}

function fillFile(bubble, item) {
  const { name, type, data } = item.payload;
  const picture = PICTURES.includes(type);
  // anything that is not a plain picture is only ever offered for saving, never opened as a page of this site
  const blob = new Blob([data], { type: picture ? type : "application/octet-stream" });
  item.url = URL.createObjectURL(blob);
  if (!picture) {
    bubble.classList.add("file");
    bubble.append(el("a", { class: "attachment", href: item.url, download: name, data: { file: name } },
      el("span", { class: "sheet" }, icon("file")), el("span", {}, el("b", { text: name }), el("small", { text: sizeOf(blob.size) }))));
    return;
  }
  bubble.classList.add("picture");
  const image = el("img", { src: item.url, alt: name, data: { file: name } });
  image.onload = () => item.room.stuck && (item.room.log.scrollTop = item.room.log.scrollHeight);
  bubble.append(el("button", { type: "button", ariaLabel: `Enlarge ${name}`, onclick: () => {
    $("viewer-image").src = item.url;
    $("viewer-image").alt = name;
    Object.assign($("viewer-save"), { href: item.url, download: name });
    $("viewer").showModal();
  } }, image));
}

const STATES = { pending: "Waiting to be sent", sent: "Sent", seen: "Seen", failed: "Not sent" };

function setState(item, state, why = "") {
  item.state = state;
  item.node.dataset.state = state;
  const readers = item.readers?.size ? ` by ${listOf([...item.readers])}` : "";
  item.ticks.replaceChildren(icon(state), el("span", { class: "hidden", text: `${STATES[state]}${readers}` }));
  item.ticks.title = `${STATES[state]}${readers}`;
  item.node.querySelector(".retry")?.remove();
  if (state !== "failed") return;
  item.node.append(el("button", { class: "retry", type: "button", text: `Not sent${why ? `: ${why}` : ""}. Try again`, onclick: () => {
    item.tries = 0;
    setState(item, "pending");
    outbox.push(item);
    flush();
  } }));
}

const newsOf = (count) => (count === 1 ? "1 new message" : `${count} new messages`);

// ---- sending: what is not acknowledged stays in the outbox and goes out again after a reconnection, under the same id

const outbox = [];

function queue(kind, payload) {
  const item = {
    id: makeId(), room: current, kind, own: true, date: new Date(), state: "pending", tries: 0, readers: new Set(),
    sender: { ...profile, id: "me" },
  };
  item.payload = { room: current.name, id: item.id, ...payload };
  outbox.push(item);
  post(item);
  showRooms();
  flush();
}

function flush() {
  if (!socket?.connected) return;
  for (const item of [...outbox]) if (item.room.joined && !item.sending) transmit(item);
}

function transmit(item) {
  item.sending = true;
  item.tries += 1;
  const done = (state, why) => {
    outbox.splice(outbox.indexOf(item), 1);
    setState(item, state, why);
  };
  socket.timeout(item.kind === "file" ? ACK_MS * 3 : ACK_MS).emit(item.kind, item.payload, (error, reply) => {
    item.sending = false;
    if (!outbox.includes(item)) return undefined;
    if (!error && reply?.ok !== false) return done(item.state === "seen" ? "seen" : "sent");
    if (!error) return done("failed", reply.error);
    if (item.tries >= TRIES) return done("failed");
    return flush();
  });
}

let typingSince = 0;
let typingStop;

function typing(on) {
  clearTimeout(typingStop);
  if (on) typingStop = setTimeout(() => typing(false), TYPING_MS - 1000);
  if (on && Date.now() - typingSince < TYPING_MS / 2) return;
  if (!on && typingSince === 0) return;
  typingSince = on ? Date.now() : 0;
  if (socket?.connected && current.joined) socket.volatile.emit("typing", { room: current.name, on });
}

function submit() {
  const text = $("text").value.trim().slice(0, MAX_TEXT);
  if (!text && tray.length === 0) return;
  typing(false);
  for (const file of tray.splice(0)) queue("file", { name: file.name, type: file.type, data: file.data });
  if (text) queue("message", { text });
  $("text").value = "";
  showTray();
  resize();
}

function resize() {
  const text = $("text");
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
  $("send").disabled = !text.value.trim() && tray.length === 0;
}

// ---- receiving

function receive(kind, payload, sender) {
  const room = rooms.get(payload?.room);
  const id = payload?.id;
  const complete = kind === "message" ? typeof payload?.text === "string" : payload?.data instanceof ArrayBuffer && typeof payload.name === "string";
  if (!room || typeof id !== "string" || !complete || room.items.has(id)) return; // sent again because its acknowledgement was lost
  const safe = kind === "message" ? { text: payload.text.slice(0, MAX_TEXT) } : { name: payload.name.slice(0, 120), type: String(payload.type), data: payload.data };
  const item = { id, room, kind, payload: safe, sender: person(sender), own: false, date: new Date() };
  setTyping(room, item.sender, false);
  post(item);
  room.unread.push(item);
  readAll();
}

/** Tells the senders of what now stands on the screen, and shows how much does not. */
function readAll() {
  const visible = current.stuck && !document.hidden;
  const news = visible ? current.unread.splice(0) : [];
  if (socket?.connected && current.members.size <= CROWD) for (const { id } of news) socket.emit("read", { room: current.name, id });
  $("newer").hidden = current.stuck || current.unread.length === 0;
  $("newer").lastElementChild.textContent = newsOf(current.unread.length);
  showRooms();
}

function seen(payload, sender) {
  const item = rooms.get(payload?.room)?.items.get(payload?.id);
  if (!item?.own) return;
  if (item.readers.size < CROWD) item.readers.add(person(sender).name);
  setState(item, "seen");
}

function setTyping(room, who, on) {
  clearTimeout(room.typing.get(who.id)?.timer);
  room.typing.delete(who.id);
  if (on && room.typing.size < CROWD) room.typing.set(who.id, { name: who.name, timer: setTimeout(() => setTyping(room, who, false), TYPING_MS) });
  if (room === current) showMembers();
}

// ---- presence

let me; // our id, also while offline

function refreshMembers(room) {
  socket.timeout(ACK_MS).emit("members", { room: room.name }, (error, list) => {
    if (error || !Array.isArray(list)) return;
    const here = new Map(list.map((member) => [String(member.id), person(member)]));
    for (const [id, member] of room.members) if (!here.has(id)) setAway(room, member);
    for (const member of here.values()) arrive(room, member);
    if (room === current) showMembers();
  });
}

/** Returns whether that is somebody new, and not one who has been away for a moment (a reload gives a new id). */
function arrive(room, member) {
  const before = room.members.get(member.id) ?? [...room.members.values()].find((other) => other.away && other.name === member.name);
  if (before) clearTimeout(before.away);
  if (before) room.members.delete(before.id);
  room.members.set(member.id, member);
  return !before;
}

function setAway(room, member) {
  clearTimeout(member.away);
  member.away = setTimeout(() => {
    room.members.delete(member.id);
    comeAndGo(room, `${member.name} left`);
    if (room === current) showMembers();
  }, AWAY_MS);
}

function comeAndGo(room, text) {
  if (room.members.size > CROWD) return;
  const empty = room.items.size === 0;
  const node = note(room, text);
  if (empty) node.before(room.empty);
}

function joined(event) {
  const room = rooms.get(event?.room);
  if (!room || event.id === socket.id) return;
  const member = person(event);
  if (arrive(room, member)) comeAndGo(room, `${member.name} joined`);
  if (room === current) showMembers();
}

function left(event) {
  const room = rooms.get(event?.room);
  const member = room?.members.get(event.id);
  if (!member || event.id === socket.id) return;
  setTyping(room, member, false);
  setAway(room, member);
  if (room === current) showMembers();
}

function showMembers() {
  me = socket?.id ?? me;
  const all = [...current.members.values()].sort((a, b) => (b.id === me) - (a.id === me) || a.name.localeCompare(b.name));
  const others = all.filter((member) => member.id !== me && !member.away).map((member) => member.name);
  const shown = others.length > 3 ? [...others.slice(0, 3), `${others.length - 3} more`] : others;
  $("subtitle").textContent = others.length ? listOf([...shown, "you"]) : all.length ? "Only you are here" : "";
  $("people-heading").textContent = `Here now · ${all.length}`;
  $("people-count").textContent = all.length || "";
  $("people").replaceChildren(...all.slice(0, 200).map((member) =>
    el("li", { class: `person${member.away ? " away" : ""}`, data: { person: member.name } },
      avatar(member), el("span", { class: "who", text: member.name }),
      member.id === me ? el("small", { text: "you" }) : member.away ? el("small", { text: "away" }) : null,
      current.typing.has(member.id) ? dots() : null)));
  const writers = [...current.typing.values()].map(({ name }) => name);
  const text = writers.length > 3 ? "Several people are typing" : `${listOf(writers)} ${writers.length === 1 ? "is" : "are"} typing`;
  $("typing").replaceChildren(...(writers.length ? [dots(), text] : []));
}

const dots = () => el("span", { class: "dots", ariaHidden: "true" }, el("i"), el("i"), el("i"));

// ---- files

const tray = []; // { name, type, data, url? }: chosen, not yet sent

/** What fits into one event on either transport: polling carries binary as base64, a third larger. */
function fileLimit() {
  const payload = socket?.io.engine?.maxPayload ?? socket?.io.engine?._maxPayload ?? 1e6;
  return Math.floor(payload * 0.73) - 1000;
}

async function addFiles(files) {
  const problems = [];
  for (const file of files) {
    if (tray.length >= MAX_FILES) {
      problems.push(`At most ${MAX_FILES} files at a time.`);
      break;
    }
    let blob = file;
    let name = file.name || `pasted.${file.type.split("/")[1] ?? "bin"}`;
    if (blob.size > fileLimit() && PICTURES.includes(file.type)) {
      blob = await shrink(file).catch(() => file);
      if (blob !== file) name = name.replace(/\.\w+$/, "") + ".jpg";
    }
    if (blob.size > fileLimit()) {
      problems.push(`${name} is too large: ${sizeOf(blob.size)}, and at most ${sizeOf(fileLimit())} can be sent.`);
      continue;
    }
    const url = PICTURES.includes(blob.type) ? URL.createObjectURL(blob) : null;
    tray.push({ name: name.slice(0, 120), type: blob.type, data: await blob.arrayBuffer(), url });
  }
  showTray(problems.join(" "));
  $("text").focus();
}

/** A smaller JPEG of a picture, as large as the limit allows. */
async function shrink(file) {
  const bitmap = await createImageBitmap(file);
  for (const [side, quality] of [[2048, 0.85], [1600, 0.8], [1200, 0.75], [800, 0.7]]) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const canvas = el("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
    if (blob && blob.size <= fileLimit()) return blob;
  }
  return file;
}

let previews = [];
function showTray(problem = "") {
  previews.filter((file) => !tray.includes(file) && file.url).forEach((file) => URL.revokeObjectURL(file.url));
  previews = [...tray];
  $("tray").hidden = tray.length === 0;
  $("tray").replaceChildren(...tray.map((file) =>
    el("li", {},
      file.url ? el("img", { src: file.url, alt: "" }) : el("span", { class: "sheet" }, icon("file")),
      el("div", {}, el("b", { text: file.name }), el("small", { text: sizeOf(file.data.byteLength) })),
      el("button", { class: "icon", type: "button", ariaLabel: `Remove ${file.name}`, onclick: () => {
        tray.splice(tray.indexOf(file), 1);
        showTray();
      } }, icon("close")))));
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
  resize();
}

// ---- the connection

let lostAt = 0;
let lostNotes = [];

/** `state`: connecting, connected or closed (the page begins as idle: nobody has a name yet); `banner`: what to say above the conversation; `action`: offer to connect again. */
function showState(state, text, banner = "", action = false) {
  document.body.dataset.state = state;
  $("state").textContent = text;
  $("banner").firstElementChild.textContent = banner;
  $("banner").lastElementChild.hidden = !action;
  $("banner").hidden = !banner;
  const name = state === "connected" ? socket.io.engine.transport.name : "offline";
  $("transport").dataset.name = name;
  $("transport").lastElementChild.textContent = name;
}

function onConnect() {
  showState("connected", "Connected");
  if (lostAt) {
    const seconds = Math.max(1, Math.round((Date.now() - lostAt) / 1000));
    for (const line of lostNotes) {
      line.dataset.kind = socket.recovered ? "good" : "bad";
      line.textContent = socket.recovered
        ? `Back after ${seconds} s, nothing missed`
        : `Reconnected after ${seconds} s; messages sent meanwhile may be missing`;
    }
    lostAt = 0;
    lostNotes = [];
  }
  if (socket.recovered) for (const name of departed) socket.emit("leave", { room: name });
  departed.clear();
  for (const room of rooms.values()) {
    if (!socket.recovered) room.joined = false;
    if (room.joined) refreshMembers(room);
    else join(room);
  }
  readAll();
  flush();
}

function onDisconnect(reason) {
  if (reason === "io client disconnect") return showState("connecting", "Connecting…");
  for (const room of rooms.values()) for (const id of [...room.typing.keys()]) setTyping(room, { id }, false);
  lostAt ||= Date.now();
  if (lostNotes.length === 0) lostNotes = [...rooms.values()].map((room) => note(room, "Connection lost, trying again…", "warn"));
  if (reason === "io server disconnect") return showState("closed", "Closed", "The server has closed the connection.", true);
  return showState("connecting", "Reconnecting…", "Connection lost. What you write is kept and sent when it is back.");
}

function onConnectError(error) {
  if (!socket.active) return showState("closed", "Refused", `The server refused: ${error.message}`, true);
  const kept = "What you write is kept and sent when it is there.";
  return showState("connecting", lostAt ? "Reconnecting…" : "Connecting…", `The server cannot be reached. ${kept}`);
}

/** Loads the official client if the server says that it has it, or our own, which `?client=sockeye` asks for, too. */
async function loadClient() {
  const load = (src) => new Promise((resolve, reject) => document.head.append(el("script", { src, onload: resolve, onerror: reject })));
  const official = document.body.dataset.client;
  if (official && new URLSearchParams(location.search).get("client") !== "sockeye") {
    await load(official);
    return "socket.io-client";
  }
  await load("/sockeye.js");
  return "sockeye.js";
}

async function start() {
  $("edit-profile").onclick = async () => {
    if (await askProfile()) socket?.disconnect().connect();
  };
  if (profile.name) $("me").replaceChildren(avatar(profile), el("span", { text: profile.name }));
  for (const name of Array.isArray(stored.rooms) ? stored.rooms.slice(0, 50).map((room) => roomName(String(room))) : []) if (name) enter(name);
  if (rooms.size === 0) enter("lobby");
  show(enter(hashRoom() || "lobby"));
  addEventListener("hashchange", () => show(enter(hashRoom() || "lobby")));

  const client = loadClient();
  if (!profile.name) await askProfile();
  showState("connecting", "Connecting…");
  try {
    $("client").textContent = await client;
  } catch {
    return showState("closed", "No client", "The Socket.IO client could not be loaded. Reload the page to try again.");
  }

  socket = globalThis.io({ path: document.body.dataset.path, autoConnect: false, auth: (answer) => answer({ name: profile.name, color: profile.color }) });
  socket.on("connect", onConnect);
  socket.on("disconnect", onDisconnect);
  socket.on("connect_error", onConnectError);
  socket.on("message", (payload, sender) => receive("message", payload, sender));
  socket.on("file", (payload, sender) => receive("file", payload, sender));
  socket.on("typing", (payload, sender) => rooms.has(payload?.room) && setTyping(rooms.get(payload.room), person(sender), payload.on === true));
  socket.on("read", seen);
  socket.on("sockeye:joined", joined);
  socket.on("sockeye:left", left);
  socket.io.on("reconnect_attempt", (attempt) => ($("state").textContent = `Reconnecting (${attempt})…`));
  socket.io.on("open", () => socket.io.engine.on("upgrade", () => socket.connected && showState("connected", "Connected")));
  socket.connect();
  return $("text").focus();
}

$("banner").lastElementChild.onclick = () => socket.connect();
$("composer").onsubmit = (event) => {
  event.preventDefault();
  submit();
};
$("text").oninput = () => {
  typing($("text").value !== "");
  resize();
};
$("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
};
$("room-form").onsubmit = (event) => {
  event.preventDefault();
  const name = roomName($("room-name").value);
  $("room-name").value = "";
  if (name) location.hash = `#${encodeURIComponent(name)}`;
};
$("attach").onclick = () => $("files").click();
$("files").onchange = () => {
  addFiles([...$("files").files]);
  $("files").value = "";
};
addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  addFiles([...event.clipboardData.files]);
});
$("chat").ondragover = (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  $("chat").classList.add("dropping");
};
$("chat").ondragleave = (event) => $("chat").contains(event.relatedTarget) || $("chat").classList.remove("dropping");
$("chat").ondrop = (event) => {
  event.preventDefault();
  $("chat").classList.remove("dropping");
  addFiles([...event.dataTransfer.files]);
};
$("newer").onclick = () => (current.log.scrollTop = current.log.scrollHeight);
$("open-rooms").onclick = () => $("app").classList.add("show-rooms");
$("open-people").onclick = () => $("app").classList.add("show-people");
for (const node of document.querySelectorAll("[data-close]")) node.onclick = () => $("app").classList.remove("show-rooms", "show-people");
$("copy-link").onclick = copyLink;
addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("app").classList.remove("show-rooms", "show-people");
  if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  event.preventDefault();
  const names = [...rooms.keys()];
  const step = event.key === "ArrowUp" ? names.length - 1 : 1;
  location.hash = `#${encodeURIComponent(names[(names.indexOf(current.name) + step) % names.length])}`;
});
document.addEventListener("visibilitychange", readAll);
// the keyboard of a phone, files to send and a longer text all take room from the conversation
new ResizeObserver(() => current?.stuck && (current.log.scrollTop = current.log.scrollHeight)).observe($("logs"));

start();
