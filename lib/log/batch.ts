/**
 * A batch is what one write carries: a batch record, then the records. The batch record restates
 * what came before, which entries follow, and which sectors are legitimately all zeros, so that
 * recovery can tell a batch that was torn from one that rotted. FORMAT.md has the offsets.
 */
import { assert } from "../base/assert.ts";
import { ByteReader, FormatError } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import type { Entry, HardState, LogIndex, Term } from "../raft/types.ts";
import type { Chain } from "../wire/chain.ts";
import type { EntryBody } from "../wire/entry.ts";
import {
  alignRecord,
  encodeRecordHead,
  RECORD_HEAD_BYTES,
  type RecordHead,
  recordSeed,
  recordSizeBytes,
} from "../wire/record.ts";
import { markZeroPieces, ZERO_MAP_BITS } from "./zero_map.ts";

const FIXED_BYTES = 24;
const RUN_BYTES = 24;
const SECTOR_BYTES = 512;
const ZEROS = new Uint8Array(8);

/** A place in the log: its last entry, with the chain there. */
export interface LogPoint {
  readonly index: LogIndex;
  readonly term: Term;
  readonly chain: Chain;
}

/** A record that is to be written, and the end of the log after it. */
export type NewRecord =
  & {
    readonly after: LogPoint;
    /** Set when the configuration changes: whether it leaves every decision to this node. */
    readonly alone?: boolean;
  }
  & (
    | { readonly type: "entry"; readonly entry: Entry; readonly body: EntryBody }
    | { readonly type: "hardState"; readonly hardState: HardState }
    | { readonly type: "truncate"; readonly from: LogIndex }
    | {
      readonly type: "base";
      readonly point: LogPoint;
      /** The configuration at `point`. */
      readonly body: EntryBody;
    }
    /** The log goes on after `after`, where `body` is the configuration. */
    | { readonly type: "reset"; readonly body: EntryBody }
  );

/** Consecutive entries of one term. */
export interface EntryRun {
  readonly first: LogIndex;
  readonly term: Term;
  readonly count: number;
}

/** A batch, ready to be written. */
export interface EncodedBatch {
  /** Written one after another; payloads are there by reference. */
  readonly parts: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Offsets of the records in the file. */
  readonly offsets: readonly number[];
}

/** The body of a batch record. */
export interface BatchBody {
  readonly recordCount: number;
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  readonly runs: readonly EntryRun[];
  readonly zeroMap: Uint8Array;
}

/** Size of the part of `record` that follows its head. */
export function bodySizeBytes(record: NewRecord): number {
  return bodyOf(record)?.bytes.length ?? 0;
}

/** Size of a batch of records of `recordsBytes` in total, with `runs` runs of entries. */
export function batchSizeBytes(recordsBytes: number, runs: number): number {
  return recordsBytes + recordSizeBytes(batchBodyBytes(recordsBytes, runs));
}

/** Large enough for the zero map of the batch wherever in a sector it starts. */
function batchBodyBytes(recordsBytes: number, runs: number): number {
  const fixedBytes = FIXED_BYTES + runs * RUN_BYTES;
  for (let mapBytes = 1;;) {
    const total = recordsBytes + recordSizeBytes(fixedBytes + mapBytes);
    const needed = Math.ceil((Math.ceil(total / SECTOR_BYTES) + 1) / ZERO_MAP_BITS);
    if (needed <= mapBytes) return fixedBytes + mapBytes;
    mapBytes = needed;
  }
}

/** The runs of the entries among `records`, in their order. */
export function runsOf(records: readonly NewRecord[]): EntryRun[] {
  const runs: { first: LogIndex; term: Term; count: number }[] = [];
  for (const record of records) {
    if (record.type !== "entry") continue;
    const { index, term } = record.entry;
    const run = runs.at(-1);
    if (run !== undefined && run.term === term && run.first + run.count === index) run.count++;
    else runs.push({ first: index, term, count: 1 });
  }
  return runs;
}

/**
 * Lays a batch out for `offset` of a segment with `salt`.
 *
 * @param before The end of the log as the batch before left it.
 */
export function encodeBatch(
  number: number,
  before: LogPoint,
  records: readonly NewRecord[],
  salt: number,
  offset: number,
): EncodedBatch {
  const runs = runsOf(records);
  let recordsBytes = 0;
  for (const record of records) recordsBytes += recordSizeBytes(bodySizeBytes(record));
  const bodyBytes = batchBodyBytes(recordsBytes, runs.length);
  const openingBytes = recordSizeBytes(bodyBytes);
  const sizeBytes = recordsBytes + openingBytes;
  const heads = new Uint8Array(openingBytes + records.length * RECORD_HEAD_BYTES);
  const view = new DataView(heads.buffer);
  const parts: Uint8Array[] = [];
  const offsets: number[] = [];
  let at = offset + openingBytes;
  let headAt = openingBytes;
  let partAt = 0;
  for (const record of records) {
    offsets.push(at);
    encodeRecordHead(view, headAt, recordHead(record), recordSeed(salt, at));
    headAt += RECORD_HEAD_BYTES;
    const size = bodySizeBytes(record);
    at += recordSizeBytes(size);
    const body = bodyOf(record);
    if (body === undefined || size === 0) continue;
    parts.push(heads.subarray(partAt, headAt), body.bytes);
    if (size % ZEROS.length !== 0) parts.push(ZEROS.subarray(size % ZEROS.length));
    partAt = headAt;
  }
  if (partAt < headAt) parts.push(heads.subarray(partAt, headAt));
  writeBody(view, records.length, before, runs);
  const map = heads.subarray(RECORD_HEAD_BYTES + mapAt(runs.length), RECORD_HEAD_BYTES + bodyBytes);
  markZeroPieces(map, parts, offset, openingBytes);
  const body = heads.subarray(RECORD_HEAD_BYTES, RECORD_HEAD_BYTES + bodyBytes);
  const opening: RecordHead = {
    type: "batch",
    entry: undefined,
    bodySizeBytes: bodyBytes,
    index: number,
    term: sizeBytes,
    chain: before.chain,
    bodyChecksum: crc32c(body),
  };
  encodeRecordHead(view, 0, opening, recordSeed(salt, offset));
  return { parts, sizeBytes, offsets };
}

/** A close record for the batch `number`. */
export function encodeClose(
  number: number,
  chain: Chain,
  salt: number,
  offset: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RECORD_HEAD_BYTES);
  encodeRecordHead(new DataView(bytes.buffer), 0, {
    type: "close",
    entry: undefined,
    bodySizeBytes: 0,
    index: number,
    term: 0,
    chain,
    bodyChecksum: 0,
  }, recordSeed(salt, offset));
  return bytes;
}

/**
 * Reads the body of a batch record, whose checksum was verified.
 *
 * @throws {FormatError} when the counts do not fit its size.
 */
export function decodeBatchBody(bytes: Uint8Array): BatchBody {
  const reader = new ByteReader(bytes);
  const recordCount = reader.u32();
  const runCount = reader.u32();
  const previousIndex = reader.u53();
  const previousTerm = reader.u53();
  if (runCount * RUN_BYTES > reader.remaining) throw new FormatError(`${runCount} runs of entries`);
  const runs: EntryRun[] = [];
  for (let i = 0; i < runCount; i++) {
    runs.push({ first: reader.u53(), term: reader.u53(), count: reader.u32() });
    reader.u32();
  }
  return {
    recordCount,
    previousIndex,
    previousTerm,
    runs,
    zeroMap: reader.raw(reader.remaining),
  };
}

function mapAt(runs: number): number {
  return FIXED_BYTES + runs * RUN_BYTES;
}

function writeBody(
  view: DataView,
  recordCount: number,
  before: LogPoint,
  runs: readonly EntryRun[],
): void {
  let at = RECORD_HEAD_BYTES;
  const u32 = (value: number) => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const u53 = (value: number) => {
    view.setBigUint64(at, BigInt(value), true);
    at += 8;
  };
  u32(recordCount);
  u32(runs.length);
  u53(before.index);
  u53(before.term);
  for (const run of runs) {
    u53(run.first);
    u53(run.term);
    u32(run.count);
    u32(0);
  }
}

function bodyOf(record: NewRecord): EntryBody | undefined {
  return "body" in record ? record.body : undefined;
}

function recordHead(record: NewRecord): RecordHead {
  const chain = record.after.chain;
  const plain = { entry: undefined, bodySizeBytes: 0, bodyChecksum: 0, chain };
  switch (record.type) {
    case "entry":
      return {
        type: "entry",
        entry: record.entry.type,
        bodySizeBytes: record.body.bytes.length,
        index: record.entry.index,
        term: record.entry.term,
        chain,
        bodyChecksum: record.body.checksum,
      };
    case "hardState": {
      const { term, votedFor } = record.hardState;
      return { ...plain, type: "hardState", index: votedFor ?? 0, term };
    }
    case "truncate":
      return { ...plain, type: "truncate", index: record.from, term: 0 };
    case "base": {
      const { bytes, checksum } = record.body;
      const body = { bodySizeBytes: bytes.length, bodyChecksum: checksum };
      return { type: "base", entry: undefined, ...record.point, ...body };
    }
    case "reset": {
      const { bytes, checksum } = record.body;
      const body = { bodySizeBytes: bytes.length, bodyChecksum: checksum };
      return { type: "reset", entry: undefined, ...record.after, ...body };
    }
  }
}

assert(alignRecord(ZEROS.length) === ZEROS.length, "padding must align records");
