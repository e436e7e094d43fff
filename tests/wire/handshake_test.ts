import { expect, test } from "bun:test";
import { ByteWriter, FormatError } from "../../lib/base/bytes.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { HANDSHAKE_BYTES_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { decodeControlRequest, decodeControlResponse } from "../../lib/wire/control.ts";
import { writeControlRequest, writeControlResponse } from "../../lib/wire/control.ts";
import { type Frame, FrameReader } from "../../lib/wire/frame.ts";
import { commonVersion, decodeHello, decodeRefusal } from "../../lib/wire/handshake.ts";
import { type Hello, MAGIC, REFUSAL_REASONS } from "../../lib/wire/handshake.ts";
import { type RefusalReason, writeHello, writeRefusal } from "../../lib/wire/handshake.ts";

const HELLO: Hello = {
  versionMin: 1,
  versionMax: 65_535,
  purpose: "raft",
  clusterId: "00112233445566778899aabbccddeeff",
  nodeId: Number.MAX_SAFE_INTEGER,
  bootId: Number.MAX_SAFE_INTEGER,
  expectedNodeId: Number.MAX_SAFE_INTEGER,
  address: "host:9001",
};

function framed(write: (writer: ByteWriter) => void): Frame {
  const writer = new ByteWriter(16);
  write(writer);
  const reader = new FrameReader(HANDSHAKE_BYTES_MAX);
  reader.push(writer.finish());
  const frame = reader.next();
  if (frame === undefined) throw new Error("No frame was written");
  return frame;
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("a hello round-trips, inside and outside of a cluster", () => {
  const outside: Hello = {
    ...HELLO,
    purpose: "control",
    clusterId: undefined,
    nodeId: 0,
    address: undefined,
  };
  for (const hello of [HELLO, outside, { ...HELLO, purpose: "pages" } as const]) {
    const frame = framed((writer) => writeHello(writer, hello));
    expect(frame.type).toBe("hello");
    expect(decodeHello(frame.body)).toEqual(hello);
    expect(decodeHello(Uint8Array.of(...frame.body, 1, 2, 3))).toEqual(hello);
  }
});

test("an address that is not said, or too long to be said, is left out of a hello", () => {
  const { body } = framed((writer) => writeHello(writer, { ...HELLO, address: undefined }));
  expect(decodeHello(body.subarray(0, -4))).toEqual({ ...HELLO, address: undefined });
  const long = framed((writer) => writeHello(writer, { ...HELLO, address: "x".repeat(301) }));
  expect(decodeHello(long.body)).toEqual({ ...HELLO, address: undefined });
});

test("a refusal round-trips, and its text is bounded", () => {
  for (const reason of [...Object.keys(REFUSAL_REASONS), "unknown"] as RefusalReason[]) {
    const frame = framed((writer) => writeRefusal(writer, { reason, text: "ä".repeat(5_000) }));
    expect(decodeRefusal(frame.body)).toEqual({ reason, text: "ä".repeat(300) });
  }
});

test("the newest common version is chosen", () => {
  const version = (a: [number, number], b: [number, number]) =>
    commonVersion(
      { ...HELLO, versionMin: a[0], versionMax: a[1] },
      { ...HELLO, versionMin: b[0], versionMax: b[1] },
    );
  expect(version([1, 3], [2, 7])).toBe(3);
  expect(version([2, 7], [1, 3])).toBe(3);
  expect(version([1, 1], [2, 2])).toBeUndefined();
});

test("the magic bytes are neither those of the dqlite protocol nor of a text protocol", () => {
  const word = new DataView(MAGIC.buffer, MAGIC.byteOffset, 8).getBigUint64(0, true);
  expect([1n, 0x86104dd760433fe5n]).not.toContain(word);
  expect(MAGIC[0]).toBeGreaterThan(127);
});

test("a control request and every kind of answer round-trip", () => {
  const request = { method: "join", params: { id: 3, nested: [null, "ü"] } };
  const body = framed((writer) => writeControlRequest(writer, request)).body;
  expect(decodeControlRequest(body)).toEqual(request);

  const result = framed((writer) => writeControlResponse(writer, { result: undefined })).body;
  expect(decodeControlResponse(result)).toEqual({ result: null });

  const error = new DatabaseError("NOT_LEADER", "ask node 2", {
    leader: "http://two:8080",
    hint: "Ask there.",
    outcome: "unknown",
  });
  const answer = decodeControlResponse(
    framed((writer) => writeControlResponse(writer, { error })).body,
  );
  if (!("error" in answer)) throw new Error("The error is missing");
  const { code, message, leader, hint, outcome } = answer.error;
  expect({ code, message, leader, hint, outcome }).toEqual({
    code: "NOT_LEADER",
    message: "ask node 2",
    leader: "http://two:8080",
    hint: "Ask there.",
    outcome: "unknown",
  });
});

test.each([
  "",
  "nonsense",
  "[]",
  "null",
  "{}",
  `{"method":7}`,
  `{"method":"${"m".repeat(65)}"}`,
])("what is no control request is refused: %p", (text) => {
  const body = new TextEncoder().encode(text);
  expect(errorOf(() => decodeControlRequest(body))).toBeInstanceOf(FormatError);
});

test("an answer with an unknown code or a foreign error is still an error", () => {
  const decode = (text: string) => decodeControlResponse(new TextEncoder().encode(text));
  const answer = decode(`{"error":{"code":"NEWER","message":"text"}}`);
  expect("error" in answer && answer.error.code).toBe("PROTOCOL");
  const inherited = decode(`{"error":{"code":"toString"}}`);
  expect("error" in inherited && inherited.error.code).toBe("PROTOCOL");
  expect(errorOf(() => decode(`{"error":7}`))).toBeInstanceOf(FormatError);
});

test("random bytes are decoded or refused, and nothing else", () => {
  const random = new SeededRandom(8);
  const decoders = [decodeHello, decodeRefusal, decodeControlRequest, decodeControlResponse];
  const good = framed((writer) => writeHello(writer, HELLO)).body;
  for (let round = 0; round < 4_000; round++) {
    const bytes = round % 2 === 0
      ? good.slice()
      : new Uint8Array(below(random, 80)).map(() => random.next());
    if (bytes.length > 0) bytes[below(random, bytes.length)]! ^= 1 << below(random, 8);
    for (const decode of decoders) {
      const error = errorOf(() => decode(bytes));
      if (error !== undefined) expect(error).toBeInstanceOf(FormatError);
    }
  }
});
