import { expect, test } from "bun:test";
import { ByteWriter, FormatError } from "../../lib/base/bytes.ts";
import { crc32c } from "../../lib/base/crc32c.ts";
import { APPEND_ENTRIES_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { Entry, Message } from "../../lib/raft/types.ts";
import { decodeMessage, encodeMessage, messageSizeBytes } from "../../lib/wire/message.ts";

const MAX = Number.MAX_SAFE_INTEGER;

function command(index: number, term: number, payload: Uint8Array): Entry {
  return { type: "command", index, term, payload, checksum: crc32c(payload) };
}

const CONFIGURATION = {
  type: "configuration",
  index: MAX - 1,
  term: MAX,
  configuration: {
    voters: [1, 2],
    votersOutgoing: [1, MAX],
    learners: [5],
    standbys: [6],
    spares: [MAX],
    members: [1, 2, 5, 6, MAX].map((id) => ({ id, address: `host${id}:1`, httpUrl: "http://x/ä" })),
  },
} as const satisfies Entry;

const ENTRIES: readonly Entry[] = [
  { type: "noop", index: MAX - 4, term: 1 },
  command(MAX - 3, 5, new Uint8Array(0)),
  command(MAX - 2, 5, new Uint8Array(5_000).fill(7)),
  CONFIGURATION,
  command(MAX, MAX, Uint8Array.of(1, 2, 3)),
];

function appendRequest(entries: readonly Entry[], prevIndex: number, term = MAX): Message {
  return { type: "append_request", term, prevIndex, prevTerm: 0, commitIndex: MAX, entries };
}

/** Every kind of message, with its extremes. */
const MESSAGES: readonly Message[] = [0, 1, MAX].flatMap((n): Message[] => [
  ...[false, true].flatMap((flag): Message[] => [
    {
      type: "vote_request",
      term: n,
      preVote: flag,
      lastIndex: n,
      lastTerm: 3,
      commitIndex: 4,
      commitTerm: n,
      transfer: !flag,
    },
    {
      type: "vote_response",
      term: n,
      preVote: flag,
      granted: !flag,
      commitIndex: n,
      commitTerm: 9,
    },
    {
      type: "vote_response",
      term: n,
      preVote: flag,
      granted: true,
      recovering: true,
      commitIndex: 8,
      commitTerm: n,
    },
    { type: "snapshot_offer", term: n, baseIndex: flag ? n : 5, baseTerm: flag ? 6 : n },
    {
      type: "append_response",
      term: n,
      prevIndex: 1,
      success: flag,
      matchIndex: n,
      hintIndex: 3,
      hintTerm: n,
    },
  ]),
  appendRequest([], n, n),
  { type: "heartbeat_request", term: n, commitIndex: 5, round: n },
  { type: "heartbeat_response", term: n, round: n },
  { type: "read_request", term: n, ticket: n },
  { type: "read_response", term: n, ticket: 1, index: n },
  { type: "read_response", term: n, ticket: n, index: undefined },
  { type: "timeout_now", term: n },
  { type: "removed", term: n, configurationIndex: n },
  { type: "configuration", term: n, index: n, configuration: CONFIGURATION.configuration },
]).concat([appendRequest(ENTRIES, MAX - 5), appendRequest(ENTRIES.slice(3), MAX - 2)]);

function encode(message: Message): { bytes: Uint8Array<ArrayBuffer>; checkedEnd: number } {
  const writer = new ByteWriter(16);
  const checkedEnd = encodeMessage(writer, message);
  return { bytes: writer.finish(), checkedEnd };
}

function refusal(bytes: Uint8Array): unknown {
  try {
    decodeMessage(bytes);
  } catch (error) {
    return error;
  }
  return undefined;
}

test("every message round-trips, at the extremes too", () => {
  expect(new Set(MESSAGES.map((message) => message.type)).size).toBe(12);
  for (const message of MESSAGES) {
    const { bytes } = encode(message);
    expect(decodeMessage(bytes)).toEqual(message);
    expect(messageSizeBytes(message)).toBeGreaterThanOrEqual(bytes.length);
    expect(messageSizeBytes(message)).toBeLessThan(bytes.length + 64);
  }
});

test("the bodies of entries stand behind the checked part, and everything else in it", () => {
  const { bytes, checkedEnd } = encode(appendRequest([ENTRIES[2]!], MAX - 3));
  expect(bytes.length - checkedEnd).toBe(5_000);
  const plain = encode({ type: "timeout_now", term: 1 });
  expect(plain.checkedEnd).toBe(plain.bytes.length);
});

test("a damaged payload is found by the entry's own checksum", () => {
  const { bytes, checkedEnd } = encode(appendRequest(ENTRIES, MAX - 5));
  for (let at = checkedEnd; at < bytes.length; at += 97) {
    bytes[at]! ^= 0x40;
    expect(refusal(bytes)).toBeInstanceOf(FormatError);
    bytes[at]! ^= 0x40;
  }
  expect(refusal(bytes)).toBeUndefined();
});

test("a message that is cut short or goes on is refused", () => {
  for (const message of MESSAGES) {
    const { bytes } = encode(message);
    for (let length = 0; length < bytes.length; length += bytes.length > 200 ? 13 : 1) {
      expect(refusal(bytes.slice(0, length))).toBeInstanceOf(FormatError);
    }
    expect(refusal(Uint8Array.of(...bytes, 0))).toBeInstanceOf(FormatError);
  }
});

test("entries that do not follow one another are refused", () => {
  const payload = Uint8Array.of(1);
  const sequences: Entry[][] = [
    [command(3, 1, payload)],
    [command(2, 1, payload), command(4, 1, payload)],
    [command(2, 5, payload), command(3, 4, payload)],
    [command(2, 9, payload)],
  ];
  for (const entries of sequences) {
    expect(refusal(encode(appendRequest(entries, 1, 8)).bytes)).toBeInstanceOf(FormatError);
  }
  const many = Array.from(
    { length: APPEND_ENTRIES_MAX + 1 },
    (_, i): Entry => ({ type: "noop", index: i + 2, term: 1 }),
  );
  expect(refusal(encode(appendRequest(many, 1)).bytes)).toBeInstanceOf(FormatError);
  expect(refusal(encode(appendRequest(many.slice(1), 2)).bytes)).toBeUndefined();
});

test("a kept payload does not hold on to a much larger buffer", () => {
  const { bytes } = encode(appendRequest([command(2, 1, new Uint8Array(100))], 1));
  const large = new Uint8Array(1_000_000);
  large.set(bytes, 500);
  for (const source of [bytes, large.subarray(500, 500 + bytes.length)]) {
    const message = decodeMessage(source);
    const entry = message.type === "append_request" ? message.entries[0] : undefined;
    if (entry?.type !== "command") throw new Error("The entry is missing");
    expect(entry.payload.buffer.byteLength).toBeLessThanOrEqual(2 * bytes.length);
  }
});

test("random bytes and flipped bits are decoded or refused, and nothing else", () => {
  const random = new SeededRandom(3);
  const encoded = MESSAGES.map((message) => encode(message).bytes);
  for (let round = 0; round < 20_000; round++) {
    let bytes: Uint8Array;
    if (round % 2 === 0) {
      bytes = encoded[below(random, encoded.length)]!.slice();
      for (let flips = 1 + below(random, 3); flips > 0; flips--) {
        bytes[below(random, Math.min(bytes.length, 300))]! ^= 1 << below(random, 8);
      }
    } else {
      bytes = new Uint8Array(1 + below(random, 120)).map(() => random.next());
      bytes[0] = 1 + below(random, 10);
      if (round % 4 === 1) bytes.fill(0, 1, 4);
    }
    const error = refusal(bytes);
    if (error !== undefined) expect(error).toBeInstanceOf(FormatError);
  }
});
