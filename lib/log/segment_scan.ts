/** Reads the batches of a segment and says what is wrong where they end. */
import { FormatError } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import type { Chain } from "../wire/chain.ts";
import {
  alignRecord,
  decodeRecordHead,
  RECORD_ALIGNMENT,
  RECORD_HEAD_BYTES,
  RECORD_MAGIC,
  type RecordHead,
  recordSeed,
  recordSizeBytes,
} from "../wire/record.ts";
import { type BatchBody, decodeBatchBody } from "./batch.ts";
import { hasMissingPiece, isZero, pieceEndAfter } from "./zero_map.ts";

/** A record found in a segment. */
export interface ScannedRecord {
  readonly head: RecordHead;
  readonly offset: number;
  readonly body: Uint8Array;
}

/** A batch whose every record is valid. */
export interface ScannedBatch {
  readonly type: "batch";
  readonly number: number;
  readonly chainBefore: Chain;
  readonly body: BatchBody;
  readonly records: readonly ScannedRecord[];
  readonly end: number;
}

/** A close record. */
export interface ScannedClose {
  readonly type: "close";
  readonly number: number;
  readonly end: number;
}

/** Bytes that are neither. */
export interface Damage {
  readonly type: "damage";
  readonly offset: number;
  readonly expected: string;
  /** A sector that a finished write would have filled is all zeros. */
  readonly unwrittenSector: boolean;
}

/**
 * Reads what is at `at` of the segment `bytes`, which ends at `end`.
 *
 * @param next Number of the batch that is expected.
 */
export function scanUnit(
  bytes: Uint8Array,
  at: number,
  end: number,
  salt: number,
  next: number,
): ScannedBatch | ScannedClose | Damage {
  const head = decodeRecordHead(bytes.subarray(0, end), at, recordSeed(salt, at));
  if (head === undefined) {
    const unwrittenSector = headUnwritten(bytes, at, end);
    return { type: "damage", offset: at, expected: `the head of batch ${next}`, unwrittenSector };
  }
  const wrong = (expected: string, unwrittenSector = false): Damage => {
    return { type: "damage", offset: at, expected, unwrittenSector };
  };
  if (head.type === "close") {
    if (head.index !== next - 1) return wrong(`the close of batch ${next - 1}, not ${head.index}`);
    return { type: "close", number: head.index, end: at + RECORD_HEAD_BYTES };
  }
  if (head.type !== "batch") return wrong(`batch ${next}, not a record of type ${head.type}`);
  if (head.index !== next) return wrong(`batch ${next}, not ${head.index}`);
  const batchEnd = at + head.term;
  const recordsAt = at + recordSizeBytes(head.bodySizeBytes);
  if (batchEnd > end || recordsAt > batchEnd) return wrong(`batch ${next} to fit the segment`);
  const bodyAt = at + RECORD_HEAD_BYTES;
  const bodyEnd = bodyAt + head.bodySizeBytes;
  if (crc32c(bytes, bodyAt, bodyEnd) !== head.bodyChecksum) {
    const unwritten = hasMissingPiece(bytes, at, batchEnd, undefined, recordsAt);
    return wrong(`the body of the record of batch ${next}`, unwritten);
  }
  if (!isZero(bytes, bodyEnd, recordsAt)) return wrong(`zeros behind the record of batch ${next}`);
  return scanRecords(bytes, at, head, salt);
}

function scanRecords(
  bytes: Uint8Array,
  start: number,
  opening: RecordHead,
  salt: number,
): ScannedBatch | Damage {
  const bodyAt = start + RECORD_HEAD_BYTES;
  const end = start + opening.term;
  const number = opening.index;
  let body: BatchBody;
  try {
    body = decodeBatchBody(bytes.subarray(bodyAt, bodyAt + opening.bodySizeBytes));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const expected = `a valid record of batch ${number} (${error.message})`;
    return { type: "damage", offset: start, expected, unwrittenSector: false };
  }
  const damage = (offset: number, expected: string): Damage => {
    const unwrittenSector = hasMissingPiece(bytes, start, end, body.zeroMap);
    return { type: "damage", offset, expected, unwrittenSector };
  };
  const records: ScannedRecord[] = [];
  let at = bodyAt + alignRecord(opening.bodySizeBytes);
  while (at < end) {
    const head = decodeRecordHead(bytes, at, recordSeed(salt, at));
    const what = `record ${records.length + 1} of batch ${number}`;
    if (head === undefined) return damage(at, `the head of ${what}`);
    const recordEnd = at + recordSizeBytes(head.bodySizeBytes);
    if (recordEnd > end) return damage(at, `${what} to end with its batch`);
    const recordBodyAt = at + RECORD_HEAD_BYTES;
    const recordBodyEnd = recordBodyAt + head.bodySizeBytes;
    if (crc32c(bytes, recordBodyAt, recordBodyEnd) !== head.bodyChecksum) {
      return damage(at, `the body of ${what}`);
    }
    if (!isZero(bytes, recordBodyEnd, recordEnd)) return damage(at, `zeros at the end of ${what}`);
    records.push({ head, offset: at, body: bytes.subarray(recordBodyAt, recordBodyEnd) });
    at = recordEnd;
  }
  if (records.length !== body.recordCount) {
    return damage(start, `${body.recordCount} records in batch ${number}, not ${records.length}`);
  }
  return { type: "batch", number, chainBefore: opening.chain, body, records, end };
}

/** Whether batch `number` begins at `at`. */
export function isBatchHead(
  bytes: Uint8Array,
  at: number,
  salt: number,
  number: number,
): boolean {
  const head = decodeRecordHead(bytes, at, recordSeed(salt, at));
  return head?.type === "batch" && head.index === number;
}

/**
 * Whether anything valid that was written after batch `number` was durable lies in
 * `bytes[from, end)`: a later batch, or a close record of this or a later one.
 */
export function hasLaterUnit(
  bytes: Uint8Array,
  from: number,
  end: number,
  salt: number,
  number: number,
): boolean {
  const low = RECORD_MAGIC & 0xff;
  const high = RECORD_MAGIC >>> 8;
  for (let at = from; at + RECORD_HEAD_BYTES <= end; at += RECORD_ALIGNMENT) {
    if (bytes[at] !== low || bytes[at + 1] !== high) continue;
    const head = decodeRecordHead(bytes, at, recordSeed(salt, at));
    if (head === undefined) continue;
    if (head.type === "batch" && head.index > number) return true;
    if (head.type === "close" && head.index >= number) return true;
  }
  return false;
}

/** A head that is not valid although all its sectors were written has rotted. */
function headUnwritten(bytes: Uint8Array, at: number, end: number): boolean {
  const first = Math.min(pieceEndAfter(at), end);
  if (isZero(bytes, at, first)) return true;
  if (at + RECORD_HEAD_BYTES <= first || first === end) return false;
  return isZero(bytes, first, Math.min(pieceEndAfter(first), end));
}
