/**
 * Records of the log: a head of 40 bytes, the body, and zeros up to a multiple of 8. The head has
 * its own checksum, so that size and identity stay known when only the body is damaged.
 * lib/log/FORMAT.md has the offsets.
 */
import { getU32 } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import type { Entry } from "../raft/types.ts";
import type { Chain } from "./chain.ts";
import { ENTRY_TYPES } from "./entry.ts";

export const RECORD_HEAD_BYTES = 40;
/** Records start at multiples of this. */
export const RECORD_ALIGNMENT = 8;
/** The first two bytes of every record. */
export const RECORD_MAGIC = 0xd11e;

const HIGH = 0x1_0000_0000;
const CHECKSUM_AT = 36;

/** The type of a record as its number on disk; numbers are never reused. */
export const RECORD_TYPES = {
  /** Opens a batch: how long it is, what came before, which entries it holds. */
  batch: 1,
  entry: 2,
  hardState: 3,
  truncate: 4,
  /** Written after the batch of its number was durable. */
  close: 5,
  /** The configuration at the entry before the first one that is kept. */
  base: 6,
  /** Everything before it is forgotten; the log goes on after an entry that it does not hold. */
  reset: 7,
} as const;

/** The kinds of records. */
export type RecordType = keyof typeof RECORD_TYPES;

/** What the head of a record says. */
export interface RecordHead {
  readonly type: RecordType;
  /** The type of the entry; `undefined` for other records. */
  readonly entry: Entry["type"] | undefined;
  readonly bodySizeBytes: number;
  /**
   * Entry, base, reset: index. Hard state: vote or 0. Truncate: first index that goes. Batch and
   * close: number.
   */
  readonly index: number;
  /** Entry, hard state, base, reset: term. Batch: its size in bytes, itself included. Else 0. */
  readonly term: number;
  /** The chain after this record, that of a base or reset at its entry; see chain.ts. */
  readonly chain: Chain;
  /** CRC-32C of the body, 0 when it is empty. For an entry it is the entry's own. */
  readonly bodyChecksum: number;
}

/** Size of a record on disk, given the size of its body. */
export function recordSizeBytes(bodySizeBytes: number): number {
  return RECORD_HEAD_BYTES + alignRecord(bodySizeBytes);
}

/** The next multiple of {@linkcode RECORD_ALIGNMENT}. */
export function alignRecord(size: number): number {
  return Math.ceil(size / RECORD_ALIGNMENT) * RECORD_ALIGNMENT;
}

/**
 * Writes a head at `at`.
 *
 * @param seed See {@linkcode recordSeed}.
 */
export function encodeRecordHead(view: DataView, at: number, head: RecordHead, seed: number): void {
  view.setUint16(at, RECORD_MAGIC, true);
  view.setUint8(at + 2, RECORD_TYPES[head.type]);
  view.setUint8(at + 3, head.entry === undefined ? 0 : ENTRY_TYPES[head.entry]);
  view.setUint32(at + 4, head.bodySizeBytes, true);
  setU53(view, at + 8, head.index);
  setU53(view, at + 16, head.term);
  view.setUint32(at + 24, head.chain.a, true);
  view.setUint32(at + 28, head.chain.b, true);
  view.setUint32(at + 32, head.bodyChecksum, true);
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, CHECKSUM_AT);
  view.setUint32(at + CHECKSUM_AT, crc32c(bytes, 0, CHECKSUM_AT, seed), true);
}

/**
 * Reads the head at `at`; undefined when there is no valid one, which includes a head that was
 * written for another segment or another offset.
 */
export function decodeRecordHead(
  bytes: Uint8Array,
  at: number,
  seed: number,
): RecordHead | undefined {
  if (at + RECORD_HEAD_BYTES > bytes.length) return undefined;
  if ((bytes[at]! | (bytes[at + 1]! << 8)) !== RECORD_MAGIC) return undefined;
  if (crc32c(bytes, at, at + CHECKSUM_AT, seed) !== getU32(bytes, at + CHECKSUM_AT)) {
    return undefined;
  }
  const type = TYPES_BY_CODE[bytes[at + 2]!];
  const entry = type === "entry" ? ENTRIES_BY_CODE[bytes[at + 3]!] : undefined;
  const index = getU53(bytes, at + 8);
  const term = getU53(bytes, at + 16);
  if (type === undefined || index === undefined || term === undefined) return undefined;
  if (type === "entry" && entry === undefined) return undefined;
  return {
    type,
    entry,
    bodySizeBytes: getU32(bytes, at + 4),
    index,
    term,
    chain: { a: getU32(bytes, at + 24), b: getU32(bytes, at + 28) },
    bodyChecksum: getU32(bytes, at + 32),
  };
}

/**
 * The seed of a head's checksum. It binds the record to its segment, by the salt, and to its
 * place, so that neither old bytes of a file nor a misdirected write look valid.
 */
export function recordSeed(salt: number, offset: number): number {
  return (salt ^ offset) >>> 0;
}

const TYPES_BY_CODE = byCode<RecordType>(RECORD_TYPES);
const ENTRIES_BY_CODE = byCode<Entry["type"]>(ENTRY_TYPES);

function byCode<Name extends string>(codes: Readonly<Record<Name, number>>): (Name | undefined)[] {
  const names: (Name | undefined)[] = [];
  for (const name in codes) names[codes[name]] = name;
  return names;
}

function setU53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % HIGH, true);
  view.setUint32(at + 4, Math.floor(value / HIGH), true);
}

function getU53(bytes: Uint8Array, at: number): number | undefined {
  const high = getU32(bytes, at + 4);
  return high >= 0x20_0000 ? undefined : high * HIGH + getU32(bytes, at);
}
