// Where Sockeye reads packets otherwise than the official parsers, on purpose.
//
// `when` gets the connection (`parser`, `messages`), the official result and ours; each reason must be needed at least once.

const refused = (ours, ...errors) => ours.error !== undefined && errors.some((error) => ours.error.startsWith(error));
const anyPacket = (official, test) => official.packets?.some(test) ?? false;
const texts = ({ messages }) => messages.filter((message) => typeof message === "string");

export const differences = [
  {
    name: "empty message",
    why: "Number(\"\") is 0, so that nothing is a CONNECT to the official parser. No client sends it.",
    when: (connection, official, ours) => refused(ours, "empty message") && connection.messages.includes(""),
  },
  {
    name: "type that is white space",
    why: "Number(\" \") is 0 as well.",
    when: (connection, official, ours) =>
      refused(ours, "unknown packet type") && texts(connection).some((text) => /^\s/.test(text)),
  },
  {
    name: "event without name",
    why: "An event without data, or by MessagePack without a name, has no handler; the official server calls the listeners of \"undefined\".",
    when: (connection, official, ours) =>
      refused(ours, "event without a name") &&
      ((official.pending && texts(connection).some((text) => /^5\d+-[^[]*$/.test(text))) ||
        anyPacket(official, ({ type, raw }) => type === 2 && !(Number.isFinite(raw?.[0]) || typeof raw?.[0] === "string"))),
  },
  {
    name: "event named -0",
    why: "The listener of -0 is that of 0, for String(-0) is \"0\".",
    when: (connection, official, ours) => !ours.error && anyPacket(official, ({ type, raw }) => type === 2 && Object.is(raw?.[0], -0)),
  },
  {
    name: "reserved event by MessagePack",
    why: "Only the official JSON parser checks names. By MessagePack a client could make the server's own disconnect listeners run.",
    when: (connection, official, ours) =>
      connection.parser === "msgpack" && refused(ours, "reserved event name") && anyPacket(official, ({ type }) => type === 2),
  },
  {
    name: "white space as id",
    why: "Number(\" \") is 0, so that white space before the data is an id to the official parser, and after digits NaN or ignored.",
    when: (connection, official, ours) =>
      refused(ours, "invalid packet id", "the packet's data is not JSON") &&
      texts(connection).some((text) => /^[0-6](\d+-)?(\/[^,]*,?)?\d*\s/u.test(text)),
  },
  {
    name: "id that no number holds",
    why: "An id that is negative or too large is none: the official server answers with one that its clients cannot read, 1e+24.",
    when: (connection, official, ours) =>
      !ours.error && anyPacket(official, ({ id }) => id !== undefined && (id < 0 || id > Number.MAX_SAFE_INTEGER)),
  },
  {
    name: "number of attachments in another notation",
    why: "0x1, 1.0, +1 and the like are numbers to Number(); the protocol has digits.",
    when: (connection, official, ours) =>
      refused(ours, "illegal number of attachments") && texts(connection).some((text) => /^[56](?!\d+-)[^-]*[-+]?[^-]*-/.test(text)),
  },
  {
    name: "index of a placeholder that is not whole",
    why: "buffers[0.5] is undefined in JavaScript; the protocol has indices.",
    when: (connection, official, ours) =>
      refused(ours, "a placeholder points to no attachment") && texts(connection).some((text) => /"num"\s*:\s*\d+(\.\d*[1-9]|\d*[eE]-)/.test(text)),
  },
  {
    name: "illegal placeholder in a place that is not read",
    why: "Inside of a placeholder, under a key that comes again, or with attachments that have not come yet: refused at once.",
    when: (connection, official, ours) =>
      refused(ours, "a placeholder points to no attachment") && texts(connection).some((text) => /^[56]/.test(text)),
  },
  {
    name: "object that looks like a placeholder, with binary, by MessagePack",
    why: "Such a packet cannot be relayed to clients of the JSON parser: their decoder would throw.",
    when: (connection, official, ours) =>
      connection.parser === "msgpack" && refused(ours, "a placeholder points to no attachment"),
  },
  {
    name: "nesting",
    why: "Deeper than 127 is refused, to bound recursion here and in the handlers' types.",
    when: (connection, official, ours) => refused(ours, "data nests deeper than"),
  },
  {
    name: "long names",
    why: "Event names and namespaces are bounded.",
    when: (connection, official, ours) => refused(ours, "event name longer than", "namespace longer than"),
  },
  {
    name: "many binaries by MessagePack",
    why: "A thousand in a packet, so that tiny ones cannot cost many times their size.",
    when: (connection, official, ours) => connection.parser === "msgpack" && refused(ours, "more than 1000 attachments"),
  },
  {
    name: "__proto__ by MessagePack",
    why: "notepack.io sets the prototype; here it is a key as any other, and a packet's members are its own.",
    when: (connection) =>
      connection.parser === "msgpack" && Buffer.from(connection.messages[0].binary, "base64").includes("__proto__"),
  },
  {
    name: "keys that are no text by MessagePack",
    why: "Arrays, maps, binaries and dates as keys have the name that JavaScript's String() makes of them; they are refused.",
    when: (connection, official, ours) =>
      connection.parser === "msgpack" && refused(ours, "the message is not one MessagePack value") && official.packets?.length > 0,
  },
  {
    name: "namespace that JSON cannot write",
    why: "Without its leading slash, or with a comma. No client of either parser sends one.",
    when: (connection, official, ours) => connection.parser === "msgpack" && refused(ours, "invalid namespace"),
  },
  {
    name: "extension in place of arguments",
    why: "notepack.io reads unknown extensions as arrays, so that one could pass for an event with a number as its name.",
    when: (connection, official, ours) =>
      connection.parser === "msgpack" && refused(ours, "the packet's type does not allow this data") &&
      anyPacket(official, ({ raw }) => raw?.length === 2 && Buffer.isBuffer(raw[1])),
  },
  {
    name: "binary in CONNECT by MessagePack",
    why: "The data of CONNECT and CONNECT_ERROR are kept as JSON; binary becomes what JSON.stringify makes of a Buffer.",
    when: (connection, official, ours) =>
      connection.parser === "msgpack" && !ours.error && JSON.stringify(ours.packets).includes('{"s":"Buffer"}') &&
      anyPacket(official, ({ type }) => type === 0 || type === 4),
  },
  {
    name: "member that becomes undefined by MessagePack",
    why: "Of equal keys the last counts, but one that is undefined is not written, so the one before stays.",
    when: (connection, official, ours) =>
      connection.parser === "msgpack" && !ours.error && Buffer.from(connection.messages[0].binary, "base64").includes(Buffer.of(0xd4, 0)),
  },
  {
    name: "keys that differ in halves of surrogate pairs only",
    why: "They are all U+FFFD here, so that they are one key.",
    when: (connection, official, ours) => !ours.error && anyPacket(official, ({ raw }) => hasCollision(raw)),
  },
];

function hasCollision(value) {
  if (value === null || typeof value !== "object") return false;
  const keys = Object.keys(value);
  return new Set(keys.map((key) => key.toWellFormed())).size < keys.length || Object.values(value).some(hasCollision);
}
