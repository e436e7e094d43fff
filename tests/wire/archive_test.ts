import { expect, test } from "bun:test";
import { FormatError } from "../../lib/base/bytes.ts";
import { crc32c } from "../../lib/base/crc32c.ts";
import { ARCHIVE_OBJECT_BYTES_MAX, ARCHIVE_PART_BYTES } from "../../lib/base/limits.ts";
import type { Entry } from "../../lib/raft/types.ts";
import {
  type BaseHead,
  decodeBaseHead,
  decodeEntries,
  decodeEntriesHead,
  decodeObject,
  decodePagesHead,
  encodeBaseHead,
  encodeEntries,
  encodeEntriesHead,
  encodeObject,
  encodePagesHead,
  type EntriesHead,
  SEAL_BYTES,
} from "../../lib/wire/archive.ts";
import {
  baseKey,
  beforeEntriesFrom,
  entriesKey,
  parseBaseKey,
  parseEntriesKey,
} from "../../lib/wire/archive_keys.ts";

const CLUSTER = "00112233445566778899aabbccddeeff";
const ID = "ffeeddccbbaa99887766554433221100";
const HEAD: EntriesHead = {
  first: 2 ** 40,
  last: 2 ** 40 + 2,
  timeBeforeMs: 1_795_000_000_000,
  timeAfterMs: 1_795_000_000_123,
  chainBefore: { a: 0xffff_fffe, b: 1 },
  chainAfter: { a: 2, b: 0x8000_0000 },
  sizeBytes: 200,
};
const BASE: BaseHead = {
  id: ID,
  index: 5,
  fuzzyIndex: 2 ** 41,
  chain: { a: 7, b: 0xf000_0000 },
  timeMs: 1_795_000_000_000,
  databases: [
    { id: 1, name: "main", pageSizeBytes: 65_536, pages: 7, parts: ["ab".repeat(32)] },
    { id: 9, name: "größer", pageSizeBytes: 512, pages: 0, parts: [] },
  ],
};

function entries(): Entry[] {
  const payload = new Uint8Array([1, 2, 3]);
  return [
    { type: "noop", index: HEAD.first, term: 4 },
    { type: "command", index: HEAD.first + 1, term: 4, payload, checksum: crc32c(payload) },
    { type: "noop", index: HEAD.first + 2, term: 5 },
  ];
}

test("an object says what it is, and whose", () => {
  const object = {
    kind: "pages",
    clusterId: CLUSTER,
    head: new Uint8Array([1, 2]),
    body: new Uint8Array([3, 4, 5]),
  } as const;
  const sealed = encodeObject(object);
  expect(sealed.subarray(-SEAL_BYTES)).toEqual(new Uint8Array(SEAL_BYTES));
  const bytes = sealed.subarray(0, -SEAL_BYTES);
  expect(new TextDecoder().decode(bytes.subarray(0, 8))).toBe("dqarchiv");
  expect(decodeObject(bytes)).toEqual(object);
  for (const [at, value] of [[0, 1], [8, 2], [9, 0], [9, 4], [10, 1], [12, 200]] as const) {
    const other = bytes.slice();
    other[at] = value;
    expect(() => decodeObject(other)).toThrow(FormatError);
  }
  for (let size = 0; size < 34; size++) {
    expect(() => decodeObject(bytes.subarray(0, size))).toThrow(FormatError);
  }
});

test("heads are read as they were written", () => {
  expect(decodeEntriesHead(encodeEntriesHead(HEAD))).toEqual(HEAD);
  expect(decodeBaseHead(encodeBaseHead(BASE))).toEqual(BASE);
  const pages = {
    baseId: ID,
    databaseId: 1,
    pageSizeBytes: 4_096,
    firstPage: 1_025,
    count: ARCHIVE_PART_BYTES / 4_096,
  };
  expect(decodePagesHead(encodePagesHead(pages))).toEqual(pages);
});

test("heads that are cut, too long, or beyond a bound are refused", () => {
  const heads = [
    [encodeEntriesHead(HEAD), decodeEntriesHead],
    [encodeBaseHead(BASE), decodeBaseHead],
  ] as const;
  for (const [bytes, decode] of heads) {
    for (let size = 0; size < bytes.length; size++) {
      expect(() => decode(bytes.subarray(0, size))).toThrow(FormatError);
    }
    expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(FormatError);
  }
  const refused = (change: Partial<EntriesHead>) =>
    expect(() => decodeEntriesHead(encodeEntriesHead({ ...HEAD, ...change }))).toThrow(FormatError);
  refused({ first: 0 });
  refused({ last: HEAD.first - 1 });
  refused({ sizeBytes: ARCHIVE_OBJECT_BYTES_MAX + 1 });
  const backwards = encodeBaseHead({ ...BASE, fuzzyIndex: 4 });
  expect(() => decodeBaseHead(backwards)).toThrow(FormatError);
});

test("entries are those that the head announces, each with its checksum", () => {
  const body = encodeEntries(entries(), HEAD.sizeBytes);
  expect(decodeEntries(HEAD, body)).toEqual(entries());
  expect(() => decodeEntries({ ...HEAD, first: HEAD.first + 1 }, body)).toThrow("in the place of");
  expect(() => decodeEntries({ ...HEAD, last: HEAD.last - 1 }, body)).toThrow(FormatError);
  expect(() => decodeEntries({ ...HEAD, last: HEAD.last + 1 }, body)).toThrow(FormatError);
  const changed = body.slice();
  changed[66]! ^= 1;
  expect(() => decodeEntries(HEAD, changed)).toThrow("is damaged");
});

test("names tell what the objects hold, and sort as the log does", () => {
  const key = entriesKey(CLUSTER, HEAD);
  const { first, last, timeAfterMs, chainBefore, chainAfter } = HEAD;
  expect(parseEntriesKey(key)).toEqual({ first, last, timeAfterMs, chainBefore, chainAfter });
  const base = baseKey(CLUSTER, BASE);
  expect(parseBaseKey(base)).toEqual({
    index: 5,
    fuzzyIndex: 2 ** 41,
    timeMs: BASE.timeMs,
    id: ID,
  });
  for (const other of [key.slice(1), `${key}0`, key.replace("/log/", "/base/"), base, "", "x/y"]) {
    expect(parseEntriesKey(other)).toBeUndefined();
  }
  const never = { ...BASE, timeMs: 9_000_000_000_000_000 };
  expect(parseBaseKey(baseKey(CLUSTER, never))).toBeUndefined();
  expect(parseEntriesKey(entriesKey(CLUSTER, { ...HEAD, timeAfterMs: never.timeMs }))).toBe(
    undefined,
  );
  const [, , folder] = key.split("/");
  expect(parseEntriesKey(key.replace(folder!, "00000000001"))).toBeUndefined();

  const firsts = [1, 9, 10, 99_999, 100_000, 2 ** 40, 2 ** 52];
  const keys = firsts.map((first) => entriesKey(CLUSTER, { ...HEAD, first, last: 2 ** 53 - 1 }));
  expect([...keys].sort()).toEqual(keys);
  for (const [at, first] of firsts.entries()) {
    const before = beforeEntriesFrom(CLUSTER, first);
    expect(before < keys[at]!).toBe(true);
    if (at > 0) expect(before > keys[at - 1]!).toBe(true);
  }
});
