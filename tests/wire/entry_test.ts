import { expect, test } from "bun:test";
import { ByteReader, ByteWriter, FormatError } from "../../lib/base/bytes.ts";
import { crc32c } from "../../lib/base/crc32c.ts";
import { ENTRY_PAYLOAD_BYTES_MAX } from "../../lib/base/limits.ts";
import type { Configuration, Entry } from "../../lib/raft/types.ts";
import { decodeConfiguration, encodeConfiguration } from "../../lib/wire/configuration.ts";
import {
  decodeEntry,
  encodeEntry,
  encodeEntryHead,
  ENTRY_HEAD_BYTES,
  entryBody,
  entryHead,
  entrySizeBytes,
} from "../../lib/wire/entry.ts";

const payload = new Uint8Array([1, 2, 3, 4, 5]);
const configuration: Configuration = {
  voters: [1, 2],
  votersOutgoing: [1, 7],
  learners: [],
  standbys: [Number.MAX_SAFE_INTEGER],
  spares: [],
  members: [1, 2, 7, Number.MAX_SAFE_INTEGER].map((id) => ({
    id,
    address: `10.0.0.${id % 256}:9001`,
    httpUrl: `http://knöten-${id % 256}:8080`,
  })),
};
const entries: readonly Entry[] = [
  { type: "noop", index: 1, term: 1 },
  { type: "command", index: 2, term: 3, payload, checksum: crc32c(payload) },
  { type: "command", index: 3, term: 3, payload: new Uint8Array(0), checksum: 0 },
  { type: "configuration", index: 2 ** 53 - 1, term: 2 ** 40, configuration },
];

function encoded(entry: Entry): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  encodeEntry(writer, entry);
  return writer.finish();
}

function failure(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("Expected an error");
}

test("every type of entry survives encoding, one after another in one string", () => {
  const writer = new ByteWriter();
  for (const entry of entries) encodeEntry(writer, entry);
  const reader = new ByteReader(writer.view());
  for (const entry of entries) expect(decodeEntry(reader)).toEqual(entry);
  reader.end();
});

test("the size of an entry is known before it is encoded", () => {
  for (const entry of entries) expect(entrySizeBytes(entry)).toBe(encoded(entry).length);
});

test("a head and a payload written apart are the same bytes, and the payload is not copied", () => {
  const entry = entries[1]!;
  const body = entryBody(entry);
  expect(body.bytes).toBe(payload);
  const writer = new ByteWriter();
  encodeEntryHead(writer, entryHead(entry, body));
  expect(writer.length).toBe(ENTRY_HEAD_BYTES);
  writer.raw(body.bytes);
  expect(writer.finish()).toEqual(encoded(entry));
});

test("a flipped bit is noticed wherever it hides a changed body, type or size", () => {
  const bytes = encoded(entries[1]!);
  // The index and the term (bytes 8 to 23) are covered by whoever frames the entry.
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const at = bit >> 3;
    if (at >= 8 && at < 24) continue;
    const damaged = bytes.slice();
    damaged[at]! ^= 1 << (bit & 7);
    expect(failure(() => decodeEntry(new ByteReader(damaged)))).toBeInstanceOf(FormatError);
  }
});

test("an entry that ends early is refused at every length", () => {
  for (const entry of entries) {
    const bytes = encoded(entry);
    for (let length = 0; length < bytes.length; length++) {
      const reader = new ByteReader(bytes.subarray(0, length));
      expect(failure(() => decodeEntry(reader))).toBeInstanceOf(FormatError);
    }
  }
});

test("a body above the limit is refused before it is read", () => {
  const writer = new ByteWriter();
  const bodySizeBytes = ENTRY_PAYLOAD_BYTES_MAX + 1;
  encodeEntryHead(writer, { type: "command", index: 1, term: 1, bodySizeBytes, checksum: 0 });
  expect(failure(() => decodeEntry(new ByteReader(writer.view()))).message).toContain("at most");
});

test("a configuration whose lists do not fit together is refused", () => {
  const wrong: readonly Configuration[] = [
    { ...configuration, voters: [2, 1] },
    { ...configuration, voters: [1, 1, 2] },
    { ...configuration, voters: [1, 2, 5] },
    { ...configuration, standbys: [2, Number.MAX_SAFE_INTEGER] },
    { ...configuration, standbys: [] },
    { ...configuration, learners: [Number.MAX_SAFE_INTEGER] },
    { ...configuration, spares: [Number.MAX_SAFE_INTEGER] },
    { ...configuration, spares: configuration.voters.slice(0, 1) },
    { ...configuration, members: [...configuration.members].reverse() },
    { ...configuration, voters: Array.from({ length: 33 }, (_, i) => i + 1) },
  ];
  for (const value of wrong) {
    const bytes = encodeConfiguration(value);
    expect(failure(() => decodeConfiguration(bytes))).toBeInstanceOf(FormatError);
  }
  expect(decodeConfiguration(encodeConfiguration(configuration))).toEqual(configuration);
});

test("weights follow the members, and nothing does when all are the default", () => {
  const plain = encodeConfiguration(configuration);
  const weigh = (...weights: (number | undefined)[]) => ({
    ...configuration,
    members: configuration.members.map((member, at) => {
      const weight = weights[at];
      return weight === undefined ? member : { ...member, weight };
    }),
  });
  const weighed = weigh(0, undefined, 255);
  const bytes = encodeConfiguration(weighed);
  expect(bytes.length).toBe(plain.length + configuration.members.length);
  expect(bytes.subarray(0, plain.length)).toEqual(plain);
  expect(decodeConfiguration(bytes)).toEqual(weighed);
  expect(encodeConfiguration(weigh(1, 1, 1))).toEqual(plain);
  expect(failure(() => decodeConfiguration(bytes.subarray(0, -1)))).toBeInstanceOf(FormatError);
  const longer = new Uint8Array([...bytes, 1]);
  expect(failure(() => decodeConfiguration(longer))).toBeInstanceOf(FormatError);
});
