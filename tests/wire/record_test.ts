import { expect, test } from "bun:test";
import { crc32c } from "../../lib/base/crc32c.ts";
import { CHAIN_START, chainEquals, chainNext } from "../../lib/wire/chain.ts";
import {
  decodeRecordHead,
  encodeRecordHead,
  RECORD_HEAD_BYTES,
  type RecordHead,
  recordSeed,
  recordSizeBytes,
} from "../../lib/wire/record.ts";
import {
  BLOCK_BYTES,
  decodeSegmentHeader,
  decodeSlot,
  encodeSegmentHeader,
  encodeSlot,
  type SegmentHeader,
  type Slot,
} from "../../lib/wire/segment_header.ts";

const SALT = 0xdeadbeef;
const LARGE = Number.MAX_SAFE_INTEGER;
const owner = { clusterId: "00112233445566778899aabbccddeeff", nodeId: LARGE };
const header: SegmentHeader = {
  owner,
  salt: SALT,
  sequence: 5,
  sizeBytes: 16 * 1024 * 1024,
  previousSequence: 3,
  previousEnd: 0xffff_fff0,
  previousIndex: LARGE,
  previousTerm: 2 ** 33,
  previousChain: { a: 0xffffffff, b: 1 },
  previousBatch: 77,
};
const slot: Slot = {
  owner,
  sequence: 9,
  hardState: { term: LARGE, votedFor: undefined },
  firstSegment: 2,
  activeSegment: 5,
  recovering: true,
  alone: false,
};
const heads: readonly RecordHead[] = ([
  "batch",
  "entry",
  "hardState",
  "truncate",
  "close",
  "base",
  "reset",
] as const).map((type, i) => ({
  type,
  entry: type === "entry" ? "configuration" : undefined,
  bodySizeBytes: 0xffff_fffe,
  index: LARGE - i,
  term: 2 ** 40 + i,
  chain: { a: 0xfffffff0, b: i },
  bodyChecksum: 0xcafebabe,
}));

function encoded(head: RecordHead, offset: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RECORD_HEAD_BYTES + 8);
  encodeRecordHead(new DataView(bytes.buffer), 8, head, recordSeed(SALT, offset));
  return bytes;
}

test("the head of every type of record survives encoding", () => {
  for (const head of heads) {
    expect(decodeRecordHead(encoded(head, 64), 8, recordSeed(SALT, 64))).toEqual(head);
  }
});

test("no head with a flipped bit, of another segment or of another place is valid", () => {
  for (const head of heads) {
    const bytes = encoded(head, 64);
    for (let bit = 64; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeRecordHead(damaged, 8, recordSeed(SALT, 64))).toBeUndefined();
    }
    expect(decodeRecordHead(bytes, 8, recordSeed(SALT + 1, 64))).toBeUndefined();
    expect(decodeRecordHead(bytes, 8, recordSeed(SALT, 72))).toBeUndefined();
    expect(decodeRecordHead(bytes.subarray(0, 47), 8, recordSeed(SALT, 64))).toBeUndefined();
  }
});

test("records take whole words", () => {
  expect([0, 1, 8, 9].map(recordSizeBytes)).toEqual([40, 48, 48, 56]);
});

test("header and slot survive encoding, and no flipped bit goes unnoticed", () => {
  expect(decodeSegmentHeader(encodeSegmentHeader(header))).toEqual(header);
  expect(decodeSlot(encodeSlot(slot))).toEqual(slot);
  const voted = { ...slot, hardState: { term: 1, votedFor: LARGE } };
  expect(decodeSlot(encodeSlot(voted))).toEqual(voted);
  const blocks = [[encodeSegmentHeader(header), decodeSegmentHeader], [
    encodeSlot(slot),
    decodeSlot,
  ]];
  for (const [block, decode] of blocks as [Uint8Array, (block: Uint8Array) => unknown][]) {
    for (let bit = 0; bit < 108 * 8; bit++) {
      // Reserved bytes behind the checksum of the shorter block tell nothing.
      if (decode === decodeSlot && bit >= 92 * 8) continue;
      const damaged = block.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect([bit, decode(damaged)]).toEqual([bit, "damaged"]);
    }
    expect(decode(block.subarray(0, BLOCK_BYTES - 1))).toBe("damaged");
  }
});

test("a slot is no header, and a newer version is told from damage", () => {
  expect(decodeSegmentHeader(encodeSlot(slot))).toBe("damaged");
  const block = encodeSegmentHeader(header);
  const view = new DataView(block.buffer);
  view.setUint32(4, 2, true);
  expect(decodeSegmentHeader(block)).toBe("damaged");
  const length = view.getUint32(8, true);
  view.setUint32(length, crc32c(block, 0, length), true);
  expect(decodeSegmentHeader(block)).toBe("newer");
});

test("the chain depends on every field of an entry and on all entries before it", () => {
  const entry = { type: "command", index: 7, term: 3, bodySizeBytes: 100, checksum: 5 } as const;
  const chain = chainNext(CHAIN_START, entry);
  const seen = new Set([`${chain.a} ${chain.b}`]);
  const others = [
    { ...entry, type: "noop" as const },
    { ...entry, index: 8 },
    { ...entry, index: 7 + 2 ** 32 },
    { ...entry, term: 4 },
    { ...entry, term: 3 + 2 ** 32 },
    { ...entry, bodySizeBytes: 101 },
    { ...entry, checksum: 4 },
  ];
  for (const other of others) {
    const next = chainNext(CHAIN_START, other);
    seen.add(`${next.a} ${next.b}`);
  }
  const after = chainNext(chain, entry);
  seen.add(`${after.a} ${after.b}`);
  expect(seen.size).toBe(others.length + 2);
  expect(chainEquals(chain, chainNext({ ...CHAIN_START }, { ...entry }))).toBe(true);
});

test("many entries give different chains, in both halves", () => {
  const halves = [new Set<number>(), new Set<number>()] as const;
  let chain = CHAIN_START;
  for (let index = 1; index <= 20_000; index++) {
    chain = chainNext(chain, { type: "noop", index, term: 1, bodySizeBytes: 0, checksum: 0 });
    halves[0].add(chain.a);
    halves[1].add(chain.b);
  }
  // Of 20,000 random words of 32 bits, fewer than one pair is expected to be the same.
  for (const half of halves) expect(half.size).toBeGreaterThan(19_990);
});
