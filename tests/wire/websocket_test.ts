import { expect, test } from "bun:test";
import { concat } from "../../lib/base/bytes.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import {
  CLOSE,
  closeFrame,
  PING_FRAME,
  pongFrame,
  textFrameHead,
  WebSocketError,
  type WebSocketEvent,
  WebSocketReader,
} from "../../lib/wire/websocket.ts";
import { readHandshake } from "../../lib/wire/websocket_handshake.ts";

const MESSAGE_BYTES_MAX = 100_000;
const KEY = [0x12, 0x34, 0x56, 0x78] as const;
const TEXT = 0x81;
const BEGIN = 0x01;
const MORE = 0x00;
const LAST = 0x80;
const PING = 0x89;
const PONG = 0x8a;
const GOOD_BYE = 0x88;
const encoder = new TextEncoder();

/** A frame of a client. @param first Its first byte: the bits, and the opcode. */
function frame(first: number, payload: Uint8Array | string = ""): Uint8Array {
  const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
  return rawFrame(first, 0x80, bytes);
}

function rawFrame(first: number, maskBit: number, bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  const head = length < 126
    ? [first, maskBit | length]
    : length < 65_536
    ? [first, maskBit | 126, length >> 8, length & 255]
    : [first, maskBit | 127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
  const masked = bytes.map((byte, at) => byte ^ KEY[at & 3]!);
  return concat([new Uint8Array(head), new Uint8Array(KEY), masked]);
}

function eventsOf(reader: WebSocketReader, bytes: Uint8Array): WebSocketEvent[] {
  // The reader owns what it is given, and unmasks it in place.
  reader.push(bytes.slice());
  const events: WebSocketEvent[] = [];
  for (let event = reader.next(); event !== undefined; event = reader.next()) events.push(event);
  return events;
}

function read(...frames: Uint8Array[]): WebSocketEvent[] {
  return eventsOf(new WebSocketReader(MESSAGE_BYTES_MAX), concat(frames));
}

function text(value: string): WebSocketEvent {
  return { type: "text", text: value };
}

/** The close code with which frames are refused. */
function refusal(...frames: Uint8Array[]): number {
  try {
    read(...frames);
  } catch (error) {
    if (error instanceof WebSocketError) return error.closeCode;
    throw error;
  }
  throw new Error("it was not refused");
}

test("messages of every way to write a length are read", () => {
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, MESSAGE_BYTES_MAX]) {
    expect(read(frame(TEXT, "x".repeat(length)))).toEqual([text("x".repeat(length))]);
  }
});

test("what arrives is read the same wherever it is cut", () => {
  const message = "é\u{1f600}".repeat(40);
  const bytes = concat([
    frame(TEXT, "a"),
    frame(BEGIN, message),
    frame(PING, "p"),
    frame(MORE, ""),
    frame(LAST, message),
    frame(TEXT, message),
  ]);
  const whole = read(bytes);
  expect(whole).toEqual([
    text("a"),
    { type: "ping", payload: encoder.encode("p") },
    text(message + message),
    text(message),
  ]);
  for (let step = 1; step < 40; step++) {
    const reader = new WebSocketReader(MESSAGE_BYTES_MAX);
    const events: WebSocketEvent[] = [];
    for (let at = 0; at < bytes.length; at += step) {
      events.push(...eventsOf(reader, bytes.subarray(at, at + step)));
    }
    expect(events).toEqual(whole);
    expect(reader.restBytes).toBe(0);
  }
});

test("a message may be cut within a character, as only the whole is text", () => {
  const bytes = encoder.encode("\u{1f600}");
  expect(read(frame(BEGIN, bytes.slice(0, 1)), frame(LAST, bytes.slice(1)))).toEqual([
    text("\u{1f600}"),
  ]);
});

test("control frames may come in the midst of a message, and hold up to 125 bytes", () => {
  const payload = "p".repeat(125);
  expect(read(frame(BEGIN, "a"), frame(PING, payload), frame(PONG, payload), frame(LAST, "b")))
    .toEqual([
      { type: "ping", payload: encoder.encode(payload) },
      { type: "pong" },
      text("ab"),
    ]);
});

test("a client says good-bye with a code or without", () => {
  const codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 4999];
  for (const code of codes) {
    const payload = concat([new Uint8Array([code >> 8, code & 255]), encoder.encode("bye")]);
    expect(read(frame(GOOD_BYE, payload))).toEqual([{ type: "close", code }]);
  }
  expect(read(frame(GOOD_BYE))).toEqual([{ type: "close", code: undefined }]);
});

for (
  const [what, code, ...frames] of [
    ["the first reserved bit", CLOSE.PROTOCOL, frame(TEXT | 0x40, "a")],
    ["the second reserved bit", CLOSE.PROTOCOL, frame(TEXT | 0x20, "a")],
    ["the third reserved bit", CLOSE.PROTOCOL, frame(TEXT | 0x10, "a")],
    ["a frame that is not masked", CLOSE.PROTOCOL, rawFrame(TEXT, 0, encoder.encode("a"))],
    ["an unknown kind of data", CLOSE.PROTOCOL, frame(0x83, "a")],
    ["an unknown control frame", CLOSE.PROTOCOL, frame(0x8b, "a")],
    ["a fragmented ping", CLOSE.PROTOCOL, frame(0x09, "a")],
    ["a fragmented close", CLOSE.PROTOCOL, frame(0x08)],
    ["a ping of 126 bytes", CLOSE.PROTOCOL, frame(PING, "x".repeat(126))],
    ["the end of a message that was not begun", CLOSE.PROTOCOL, frame(LAST, "a")],
    ["the middle of a message that was not begun", CLOSE.PROTOCOL, frame(MORE, "a")],
    ["a message within another", CLOSE.PROTOCOL, frame(BEGIN, "a"), frame(TEXT, "b")],
    ["binary", CLOSE.UNSUPPORTED, frame(0x82, "a")],
    ["fragmented binary", CLOSE.UNSUPPORTED, frame(0x02, "a")],
    ["text that is not UTF-8", CLOSE.INVALID_DATA, frame(TEXT, new Uint8Array([0xff]))],
    ["a lone surrogate", CLOSE.INVALID_DATA, frame(TEXT, new Uint8Array([0xed, 0xa0, 0x80]))],
    ["half a character at the end", CLOSE.INVALID_DATA, frame(TEXT, new Uint8Array([0xc3]))],
    ["half of a close code", CLOSE.PROTOCOL, frame(GOOD_BYE, new Uint8Array([3]))],
    ["a close code that is not sent", CLOSE.PROTOCOL, frame(GOOD_BYE, new Uint8Array([3, 0xed]))],
    ["a close code below all", CLOSE.PROTOCOL, frame(GOOD_BYE, new Uint8Array([3, 0xe7]))],
    ["a close code nobody defined", CLOSE.PROTOCOL, frame(GOOD_BYE, new Uint8Array([0x0b, 0xb7]))],
    ["a close code beyond all", CLOSE.PROTOCOL, frame(GOOD_BYE, new Uint8Array([0x13, 0x88]))],
    [
      "a reason that is no text",
      CLOSE.INVALID_DATA,
      frame(GOOD_BYE, new Uint8Array([3, 232, 255])),
    ],
    ["a long message", CLOSE.TOO_BIG, frame(TEXT, "x".repeat(MESSAGE_BYTES_MAX + 1))],
    [
      "a message that is long in all",
      CLOSE.TOO_BIG,
      frame(BEGIN, "x".repeat(MESSAGE_BYTES_MAX)),
      frame(LAST, "x"),
    ],
    [
      "a short length in two bytes",
      CLOSE.PROTOCOL,
      new Uint8Array([TEXT, 0xfe, 0, 125, ...KEY]),
    ],
    [
      "a short length in eight bytes",
      CLOSE.PROTOCOL,
      new Uint8Array([TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...KEY]),
    ],
    [
      "a length with its first bit set",
      CLOSE.PROTOCOL,
      new Uint8Array([TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, ...KEY]),
    ],
  ] as const satisfies readonly (readonly [string, number, ...Uint8Array[]])[]
) {
  test(`it is refused with ${code}: ${what}`, () => expect(refusal(...frames)).toBe(code));
}

test("a message that will be too long is refused by its head alone", () => {
  const head = new Uint8Array([TEXT, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, ...KEY]);
  expect(refusal(head)).toBe(CLOSE.TOO_BIG);
});

test("frames of a server are not masked, and write each length in as few bytes as it takes", () => {
  const head = (sizeBytes: number) => [...textFrameHead(sizeBytes)];
  expect(head(0)).toEqual([TEXT, 0]);
  expect(head(125)).toEqual([TEXT, 125]);
  expect(head(126)).toEqual([TEXT, 126, 0, 126]);
  expect(head(65_535)).toEqual([TEXT, 126, 255, 255]);
  expect(head(65_536)).toEqual([TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
  expect(head(2 ** 33)).toEqual([TEXT, 127, 0, 0, 0, 2, 0, 0, 0, 0]);
  expect([...PING_FRAME]).toEqual([PING, 0]);
  expect([...pongFrame(encoder.encode("p"))]).toEqual([PONG, 1, 0x70]);
});

test("a close frame has a code and as much of the reason as fits, in whole characters", () => {
  expect([...closeFrame(undefined, "")]).toEqual([GOOD_BYE, 0]);
  expect([...closeFrame(1000, "ok")]).toEqual([GOOD_BYE, 4, 3, 232, 0x6f, 0x6b]);
  const long = closeFrame(1008, "é".repeat(100));
  expect(long[1]).toBe(2 + 122);
  expect(new TextDecoder("utf-8", { fatal: true }).decode(long.subarray(4))).toBe("é".repeat(61));
});

const HANDSHAKE: Readonly<Record<string, string>> = {
  "upgrade": "WebSocket",
  "connection": "keep-alive, Upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-protocol": "hrana2 ,hrana1",
};

function handshake(changes: Readonly<Record<string, string | undefined>>) {
  const headers: Readonly<Record<string, string | undefined>> = { ...HANDSHAKE, ...changes };
  return readHandshake((name) => headers[name]);
}

test("a handshake names a key and subprotocols", () => {
  const key = HANDSHAKE["sec-websocket-key"]!;
  expect(handshake({})).toEqual({ key, protocols: ["hrana2", "hrana1"] });
  expect(handshake({ "sec-websocket-protocol": undefined })).toEqual({ key, protocols: [] });
});

for (
  const [what, status, changes] of [
    ["no upgrade", 426, { upgrade: undefined }],
    ["another upgrade", 426, { upgrade: "h2c" }],
    ["a connection that is not upgraded", 426, { connection: "keep-alive" }],
    ["no version", 426, { "sec-websocket-version": undefined }],
    ["an older version", 426, { "sec-websocket-version": "8" }],
    ["no key", 400, { "sec-websocket-key": undefined }],
    ["a short key", 400, { "sec-websocket-key": "dGhlIHNhbXBsZQ==" }],
    ["a key that is no base64", 400, { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ!=" }],
  ] as const
) {
  test(`a handshake is refused: ${what}`, () =>
    expect(handshake(changes)).toMatchObject({ status }));
}

test("whatever arrives is read, or refused by a rule", () => {
  const random = new SeededRandom(11);
  const codes = new Set<number>();
  for (let round = 0; round < 5_000; round++) {
    const bytes = concat(Array.from({ length: 1 + below(random, 3) }, () => {
      const first = [TEXT, BEGIN, MORE, LAST, PING, GOOD_BYE, below(random, 256)];
      return frame(first[below(random, first.length)]!, "x".repeat(below(random, 130)));
    }));
    bytes[below(random, bytes.length)] = below(random, 256);
    const reader = new WebSocketReader(100);
    try {
      for (let at = 0; at < bytes.length; at += 7) eventsOf(reader, bytes.subarray(at, at + 7));
      expect(reader.restBytes).toBeLessThan(14);
    } catch (error) {
      if (!(error instanceof WebSocketError)) throw error;
      codes.add(error.closeCode);
    }
  }
  const { PROTOCOL, UNSUPPORTED, INVALID_DATA, TOO_BIG } = CLOSE;
  expect(codes).toEqual(new Set([PROTOCOL, UNSUPPORTED, INVALID_DATA, TOO_BIG]));
});
