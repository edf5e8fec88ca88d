// Connections written by hand: the rules of the protocol, the history of the official parser's holes, and each known
// difference.
import { binary } from "./official.mjs";

const json = (...messages) => ({ parser: "json", messages });
const msgpack = (...parts) => ({ parser: "msgpack", messages: [binary(Buffer.concat(parts.map(bytes)))] });
const bytes = (part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part));
const attachment = (text) => binary(Buffer.from(text));

/** A MessagePack packet of type 2 on "/", with these bytes as its data. */
const event = (...data) => msgpack([0x83, 0xa4], "type", [2, 0xa3], "nsp", [0xa1], "/", [0xa4], "data", ...data);

export function handWritten() {
  return [...jsonCases().map((text) => json(text)), ...dataCases(), ...attachmentCases(), ...msgpackCases()];
}

function jsonCases() {
  return [
    "", " ", "0", "1", "2", "3", "4", "5", "6", "7", "9", "a", "\u00e9", "-", "00", "01", "10", "0\n",
    "0/admin", "0/admin,", "0/admin?token=1,", "0/admin?a=1,{\"b\":2}", "0/", "0/,", "0//", "0/a/b,", "0/\u65e5\u672c,",
    "0/a{\"b\":1}", "40/random", "1/custom", "1/custom,", "1{}", "1,", "1null", "0null", "0\"a\"", "0[]", "0{", "0{}",
    "0{\"sid\":\"x\"}", "05{\"a\":1}", "0/a,5{\"a\":1}", "0 {}", "1 ", "0{} ", "0{}x",
    "2[\"a\"]", "21[\"a\"]", "2007[\"a\"]", "2-1[\"a\"]", "2+1[\"a\"]", "21.5[\"a\"]", "21e3[\"a\"]", "2 [\"a\"]", "21 [\"a\"]",
    "2 1[\"a\"]", "21 1[\"a\"]", "2\t[\"a\"]", "2\u00a0[\"a\"]", "2\ufeff[\"a\"]", "2/a, [\"a\"]", "2/a,7 [\"a\"]",
    "29007199254740991[\"a\"]", "29007199254740992[\"a\"]", "29007199254740993[\"a\"]", "299999999999999999999999[\"a\"]",
    "2[]", "2{}", "2\"a\"", "2null", "2true", "21", "2[null]", "2[true]", "2[[]]", "2[{}]", "2[{\"toString\":\"foo\"}]",
    "2[\"connect\"]", "2[\"connect_error\"]", "2[\"disconnect\"]", "2[\"disconnecting\"]", "2[\"newListener\"]",
    "2[\"removeListener\"]", "2[\"error\"]", "2[\"Connect\"]", "2[\"connect \"]", "2[\"conn\\u0065ct\"]", "2[\"\"]",
    "2[1]", "2[1.0]", "2[-0]", "2[1e400]", "2[-1e400]", "2[1e21]", "2[1E-7]", "2[123456789012345678901234567890]", "2[01]",
    "2[\"__proto__\",{\"__proto__\":{\"a\":1}}]", "2[\"a\",{\"constructor\":{\"prototype\":{}}}]",
    "2[\"a\",{\"__proto__\":null,\"hasOwnProperty\":1,\"toJSON\":2}]",
    "2[\"\\ud800\"]", "2[\"a\\udc00b\",\"\\ud83d\\ude00\",\"\\ude00\\ud83d\",{\"\\ud800\":1}]", "2[\"\ud83d\ude00\"]",
    "2[\"a\",{\"\ufffd\":1,\"\\ud800\":2,\"\ufffd\":3}]", "2[\"a\",{\"k\":1,\"k\":2}]", "2[\"a\",{\"k\":1,\"\\u006b\":2,\"l\":3,\"k\":4}]", "2[\"a\",{\"2\":1,\"1\":2,\"b\":3}]",
    "2[\"a\",{\"_placeholder\":true,\"num\":0}]", "2[\"a\",{\"_placeholder\":true,\"num\":\"x\"}]",
    "2[\"a\"]]", "2[\"a\"],", "2[\"a\"] ", "2[\"a\"]\n", "2[\"a\"", "2[\"a", "2[", "2[\"a\",]", "2[,\"a\"]", "2[\"a\",,1]",
    `2["${"n".repeat(512)}"]`, `2["${"n".repeat(513)}"]`, `0/${"n".repeat(511)},`, `0/${"n".repeat(512)},`,
    `2["a",${"[".repeat(126)}${"]".repeat(126)}]`, `2["a",${"[".repeat(127)}${"]".repeat(127)}]`,
    `2["a",${"{\"a\":".repeat(500)}1${"}".repeat(500)}]`, `2["a",${"[".repeat(5000)}`,
    "3", "31", "31[]", "3[]", "31{}", "31null", "31[null]", "31[[],{}]", "3/a,1[1,2]", "31[\"connect\"]",
    "4", "4{}", "4\"a\"", "4[]", "4null", "41", "4/a,{\"message\":\"x\",\"data\":{\"a\":[1]}}", "4\"a", "4true",
    "5[\"a\"]", "5-[\"a\"]", "50-[\"a\"]", "5x-[\"a\"]", "5-1-[\"a\"]", "51[\"a\"]", "51", "51-", "511-[\"a\"]", "510-[\"a\"]",
    "5999999999999999999999-[\"a\"]", "51.5-[\"a\"]", "5NaN-[\"a\"]", "5Infinity-[\"a\"]",
    "6-[\"a\"]", "60-[]", "61", "611-1[]",
  ];
}

// Values that may stand in an array.
const values = [
  "0", "-0", "0.0", "-0.0", "0e0", "1e0", "1.0", "1.5", "-1", "1e21", "1E21", "1e+21", "1e-7", "123456789.123456789",
  "0.1", "0.30000000000000004", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993",
  "18446744073709551615", "18446744073709551616", "9223372036854775808", "-9223372036854775809", "1e308", "1e309", "-1e999",
  "5e-324", "2e-324", "2.2250738585072011e-308", "100000000000000000000000", "1e400", "123456789012345678901234567890",
  "00", "01", "-", "-a", "+1", ".5", "1.", "1.e1", "1e", "1e+", "0x10", "1_000", "Infinity", "-Infinity", "NaN", "undefined",
  "null", "true", "false", "nul", "nulll", "True", "TRUE", "tru", "None",
  "\"\"", "\"a\"", "'a'", "`a`", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0000\"", "\"\\u001f\\u007f\"", "\"\u007f\"", "\"\u0000\"",
  "\"\t\"", "\"\n\"", "\"\\x41\"", "\"\\u{41}\"", "\"\\u00e\"", "\"\\u00E9\\u00e9\"", "\"\\a\"", "\"\\'\"", "\"\\",
  "\"\u2028\u2029\"", "\"\ufeff\"", "\"\ufffd\ufffe\"", "\"e\u0301\"", "\"\ud834\udd1e\"", "\"\\ud834\\udd1e\"",
  "\"\\ud834\"", "\"\\udd1e\"", "\"\\ud834x\\udd1e\"", "\"\\ud834\\n\"", "\"\\ud834\\ud834\\udd1e\"", "\"\\ud834\\u0041\"",
  "[]", "[ ]", "[1,2]", "[1 2]", "[,]", "[1,]", "[[[]]]", "[", "]", "[}", "[[]",
  "{}", "{ }", "{\"a\":1}", "{\"a\" : 1 }", "{\"a\":1,}", "{,}", "{\"a\"}", "{\"a\":}", "{a:1}", "{'a':1}", "{1:1}", "{\"a\":1 \"b\":2}",
  "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "{\"\":0}", "{\"__proto__\":1}", "{\"__proto__\":{\"x\":1},\"__proto__\":2}",
  "{\"1\":1,\"0\":0}", "{\"\\u0061\":1,\"a\":2}", "{\"\\ud800\":1}", "// c\n1", "/* c */1", "1//", " 1", "\t1\r\n", "\u00a01", "\ufeff1",
  "\u000b1", "\u20281",
];

function dataCases() {
  return values.flatMap((value) => [json(`2["a",${value}]`), json(`2["a",1, ${value} ,{"x":${value}}]`), json(`31[${value}]`),
    json(`0${value}`), json(`4${value}`)]);
}

function attachmentCases() {
  const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;
  const one = (data) => json(`51-${data}`, attachment("first"));
  return [
    one(`["a",${placeholder(0)}]`),
    one(`["a"]`),
    one(`["a",${placeholder(0)},[${placeholder(0)}]]`),
    ...["1", "-1", "-0", "0.0", "0e5", "0.5", "1e0", "1e400", "\"0\"", "\"splice\"", "\"length\"", "null", "true", "[0]", "{}",
      "\"__proto__\"", "\"constructor\"", "4294967296", "18446744073709551616"].map((num) => one(`["a",${placeholder(num)}]`)),
    one(`["a",{"_placeholder":true}]`),
    one(`["a",{"num":0,"x":1,"_placeholder":true}]`),
    one(`["a",{"_placeholder":1,"num":9}]`),
    one(`["a",{"_placeholder":"true","num":9}]`),
    one(`["a",{"_placeholder":false,"num":9}]`),
    one(`["a",{"_placeholder":true,"_placeholder":false,"num":9}]`),
    one(`["a",{"_placeholder":false,"_placeholder":true,"num":9}]`),
    one(`["a",{"_placeholder":true,"num":9,"num":0}]`),
    one(`["a",{"_placeholder":true,"num":0,"num":9}]`),
    one(`["a",{"\\u005fplaceholder":true,"n\\u0075m":0}]`),
    one(`["a",{"\\u005fplaceholder":true,"n\\u0075m":1}]`),
    one(`["a",{"_placeholder":true,"num":0,"x":${placeholder(9)}}]`),
    one(`["a",{"x":${placeholder(9)},"x":1}]`),
    one(`["a",{"__proto__":${placeholder(0)}}]`),
    one(`["a",{"__proto__":{"_placeholder":true,"num":0}},{"__proto__":{"_placeholder":true}}]`),
    one(`["a",{"num":0}]`),
    one(`[${placeholder(0)}]`),
    one(`{"a":${placeholder(0)}}`),
    one(`["connect",${placeholder(0)}]`),
    one(`/admin,7["a",${placeholder(0)}]`),
    json(`52-["a",${placeholder(1)},${placeholder(0)}]`, attachment("first"), attachment("")),
    json(`62-/a,7[${placeholder(1)},${placeholder(1)}]`, attachment("first"), attachment("second")),
    json(`61-7`, attachment("first")),
    json(`61-7[]`, attachment("first")),
    json(`51-`, attachment("first")),
    json(`51-7`, attachment("first")),
    json(`51-["a",${placeholder(0)}]`),
    json(`51-["a",${placeholder(1)}]`),
    json(`51-["a",${placeholder(0)}]`, "2[\"b\"]"),
    json(`51-["a",${placeholder(0)}]`, attachment("first"), attachment("second")),
    json(`51-["a",${placeholder(0)}]`, attachment("first"), "2[\"b\"]"),
    json(attachment("first")),
    json("2[\"a\"]", attachment("first")),
    json("2[\"a\"]", "2[\"b\"]", "3[]"),
    ...["01", "1.0", "+1", "0x1", " 1", "1 ", "1e0", "\n1", "--1", "1-", "0b1"].map((count) =>
      json(`5${count}-["a",${placeholder(0)}]`, attachment("first"))),
    json(`510-["a",${placeholder(9)}]`, ...Array.from({ length: 10 }, (_, index) => attachment(String(index)))),
  ];
}

function msgpackCases() {
  const text = (value) => [Buffer.from([0xa0 | value.length]), value];
  const member = (key, ...value) => [...text(key), ...value];
  const packet = (...members) => msgpack([0x80 | members.length], ...members.flat());
  const type = (value) => member("type", [value]);
  const nsp = member("nsp", [0xa1], "/");
  const u32 = (value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  return [
    { parser: "msgpack", messages: [binary([])] },
    { parser: "msgpack", messages: ["2[\"a\"]"] },
    { parser: "msgpack", messages: ["5"] },
    ...Array.from({ length: 256 }, (_, first) => msgpack([first])),
    ...Array.from({ length: 256 }, (_, first) => event([0x92, 0xa1], "a", [first])),
    ...Array.from({ length: 256 }, (_, first) => event([0x92, 0xa1], "a", [first, 0, 0, 0, 0, 0, 0, 0, 0])),
    ...Array.from({ length: 256 }, (_, first) => event([0x92, 0xa1], "a", [first, 0, 1, 0x61, 0x62])),
    ...Array.from({ length: 256 }, (_, first) => event([0x92, 0xa1], "a", [0x81, first, 1])),
    packet(), packet(nsp), packet(type(0)),
    ...[0, 1, 2, 3, 4, 5, 6, 0x7f, 0xc0, 0xc2, 0xff].flatMap((value) => [
      packet(type(value), nsp),
      packet(type(value), nsp, member("data", [0xc0])),
      packet(type(value), nsp, member("data", [0xd4, 0, 0])),
      packet(type(value), nsp, member("data", [0x80])),
      packet(type(value), nsp, member("data", [0x90])),
      packet(type(value), nsp, member("data", [0x91, 0xa1], "a")),
      packet(type(value), nsp, member("data", [0xa1], "a")),
      packet(type(value), nsp, member("data", [0xc4, 1, 2])),
      packet(type(value), nsp, member("data", [0xc7, 1, 0, 2])),
      packet(type(value), nsp, member("data", [0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
      packet(type(value), nsp, member("data", [0xd4, 1, 2])),
      packet(type(value), nsp, member("data", [0x81, 0xa1], "b", [0xc4, 2, 0, 255])),
    ]),
    packet(member("type", [0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0]), nsp, member("data", [0x91, 0xa1], "a")),
    packet(member("type", [0xa1], "2"), nsp, member("data", [0x91, 0xa1], "a")),
    packet(member("type", [0xd4, 0, 0]), nsp),
    packet(type(2), nsp, member("data", [0x91, 0xa1], "a"), type(3)),
    packet(type(2), member("nsp", [0]), member("data", [0x91, 0xa1], "a")),
    packet(type(2), member("nsp", [0xa0]), member("data", [0x91, 0xa1], "a")),
    packet(type(2), member("nsp", [0xa1], "x"), member("data", [0x91, 0xa1], "a")),
    packet(type(2), member("nsp", [0xa2, 0x2f, 0xff]), member("data", [0x91, 0xa1], "a")),
    packet(type(2), nsp, member("data", [0x91, 0xa1], "a"), member("options", [0x81], ...member("compress", [0xc3]))),
    packet(type(2), nsp, member("data", [0x91, 0xa1], "a"), member("attachments", [5]), member("x", [0xc1])),
    ...[[0], [0x7f], [0xcc, 200], [0xcd, 1, 0], [0xce, 1, 0, 0, 0], [0xcf, 0, 0, 0, 1, 0, 0, 0, 0], [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0],
      [0xcf, 255, 255, 255, 255, 255, 255, 255, 255], [0xff], [0xd0, 5], [0xd0, 0x80], [0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
      [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], [0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], [0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0],
      [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], [0xca, 0x40, 0, 0, 0], [0xc0], [0xd4, 0, 0], [0xa1, 0x31], [0xc3], [0x90]].map((id) =>
      packet(type(2), nsp, member("data", [0x91, 0xa1], "a"), member("id", id))),
    // Names of events, which the official parser does not look at.
    ...[[0xc0], [0xd4, 0, 0], [0xc3], [0x90], [0x80], [5], [0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
      [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], [0xc4, 1, 0x61], [0xa2, 0xff, 0x61]].map((name) => event([0x92], name, [1])),
    event([0x90]),
    ...["connect", "disconnect", "disconnecting", "newListener"].map((name) => event([0x91], ...text(name))),
    // Values.
    event([0x94, 0xa1], "a", [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], [0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0], [0xca, 0x7f, 0x80, 0, 0]),
    event([0x93, 0xa1], "a", [0xca, 0x3d, 0xcc, 0xcc, 0xcd], [0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
    event([0x93, 0xa1], "a", [0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], [0xd3, 255, 255, 255, 255, 255, 255, 255, 255]),
    event([0x92, 0xa1], "a", [0xa4, 0xf0, 0x9f, 0x98, 0x80]),
    event([0x92, 0xa1], "a", [0xa4, 0xed, 0xa0, 0x80, 0x41]),
    event([0x92, 0xa1], "a", [0xa3, 0xf0, 0x9f, 0x98]),
    event([0x92, 0xa1], "a", [0xa5, 0xc0, 0x80, 0xfe, 0x22, 0x5c]),
    ...[0n, 1n, -1n, 951782399999n, 951782400000n, -62167219200001n, -62198755200000n, 253402300800000n, 8640000000000000n,
      8640000000000001n, -8640000000000000n, 1709164800000n, -1n << 63n].map((time) => {
      const date = Buffer.alloc(8);
      date.writeBigInt64BE(time);
      return event([0x92, 0xa1], "a", [0xd7, 0], date);
    }),
    event([0x92, 0xa1], "a", [0x82, 0xa1], "b", [0xd4, 0, 0, 0xa1], "c", [1]),
    event([0x92, 0xa1], "a", [0x82, 0xa1], "b", [1, 0xa1], "b", [0xd4, 0, 0]),
    event([0x92, 0xa1], "a", [0x83, 0xa1], "b", [1, 0xa1], "c", [2, 0xa1], "b", [3]),
    event([0x92, 0xa1], "a", [0x81], ...text("__proto__"), [0x80]),
    packet(member("__proto__", [0x82], ...type(1), ...nsp)),
    event([0x93, 0xa1], "a", [0xc4, 0, 0x82], ...text("_placeholder"), [0xc3], ...text("num"), [5]),
    event([0x92, 0xa1], "a", [0x82], ...text("_placeholder"), [0xc3], ...text("num"), [5]),
    event([0x92, 0xa1], "a", [0x81, 0x91, 1, 2]),
    event([0xdc, 0, 2, 0xa1], "a", [0xde, 0, 1, 0xd9, 1], "b", [0xda, 0, 1], "c"),
    event([0xdd, 0, 0, 0, 2, 0xdb, 0, 0, 0, 1], "a", [0xdf, 0, 0, 0, 0]),
    event([0xdc, 0, 21, 0xa1], "a", Array(20).fill(0x90)),
    event([0xdd, ...u32(0xffffffff)]),
    event([0x92, 0xa1], "a", [0xdb, ...u32(0xffffffff)]),
    event([0x92, 0xa1], "a", [0xc6, ...u32(0x7fffffff)]),
    event([0x92, 0xa1], "a", Array(126).fill(0x91), [0xc0]),
    event([0x92, 0xa1], "a", Array(127).fill(0x91), [0xc0]),
    event([0xdd, ...u32(1001), 0xa1], "a", Array(1000).fill([0xc4, 0]).flat()),
    event([0xdd, ...u32(1002), 0xa1], "a", Array(1001).fill([0xc4, 0]).flat()),
    event([0x92, 0xa1], "a", [0xdc, 1, 0], Array(256).fill(1)),
    event([0x92, 0xa1], "a", [0xd9, 200], "x".repeat(200)),
    event([0x92, 0xa1], "a", [0xc5, 1, 44], Array(300).fill(7)),
    event([0x91], [0xda, 2, 1], "n".repeat(513)),
  ];
}
