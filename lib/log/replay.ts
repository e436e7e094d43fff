import { FormatError } from "../base/bytes.ts";
import type { Configuration, HardState } from "../raft/types.ts";
import { chainEquals, chainNext } from "../wire/chain.ts";
import { decodeConfiguration } from "../wire/configuration.ts";
import { SEGMENT_DATA_AT } from "../wire/segment_header.ts";
import type { EntryTable } from "./entry_table.ts";
import { SegmentStarts } from "./segment_starts.ts";
import type { ScannedBatch, ScannedClose, ScannedRecord } from "./segment_scan.ts";

/** A record that is whole but does not fit what came before it. */
export interface Misfit {
  readonly offset: number;
  readonly expected: string;
}

/** The history of the log, as its records tell it one after another. */
export class Replay {
  readonly table: EntryTable;
  readonly starts = new SegmentStarts();
  hardState: HardState = { term: 0, votedFor: undefined };
  #baseFound: boolean;
  #lastBatch: number;
  #segment = 0;
  #end = 0;
  #openBatchAt: number | undefined;
  #lastUnitAt = 0;
  #lastUnit = new Uint8Array(0);

  constructor(table: EntryTable, lastBatch: number) {
    this.table = table;
    this.#baseFound = table.base.index === 0;
    this.#lastBatch = lastBatch;
  }

  /** Whether the configuration before the first entry is known. */
  get baseFound(): boolean {
    return this.#baseFound;
  }

  get lastBatch(): number {
    return this.#lastBatch;
  }

  /** Where the records of the present segment end. */
  get end(): number {
    return this.#end;
  }

  /** Where the last batch begins, when nothing proves that it was durable. */
  get openBatchAt(): number | undefined {
    return this.#openBatchAt;
  }

  /** Where the last batch or close record begins; {@linkcode end} when the segment has none. */
  get lastUnitAt(): number {
    return this.#lastUnitAt;
  }

  /** The bytes of that batch or record. */
  get lastUnit(): Uint8Array {
    return this.#lastUnit;
  }

  /** The last segment was read: `bytes` is all of it. */
  endSegment(bytes: Uint8Array): void {
    // The copy lets go of the whole segment.
    this.#lastUnit = bytes.slice(this.#lastUnitAt, this.#end);
  }

  startSegment(sequence: number, dataAt: number): void {
    this.starts.add(sequence, this.table.last);
    this.#segment = sequence;
    this.#end = dataAt;
    this.#lastUnitAt = dataAt;
  }

  /** The next segment proves that the last batch of this one was durable. */
  closeBatch(): void {
    this.#openBatchAt = undefined;
  }

  close(unit: ScannedClose, offset: number): void {
    this.#lastUnitAt = offset;
    this.#end = unit.end;
    this.#openBatchAt = undefined;
  }

  /** @returns What does not fit; the batch is then applied in part. */
  batch(unit: ScannedBatch, offset: number): Misfit | undefined {
    const last = this.table.last;
    const { previousIndex, previousTerm } = unit.body;
    if (
      previousIndex !== last.index || previousTerm !== last.term ||
      !chainEquals(unit.chainBefore, last.chain)
    ) {
      return { offset, expected: `a batch after entry ${last.index} of term ${last.term}` };
    }
    for (const record of unit.records) {
      const isFirst = offset === SEGMENT_DATA_AT && record === unit.records[0];
      const misplaced = record.head.type === "reset" && !isFirst;
      const expected = misplaced ? "no reset behind another record" : this.#record(record);
      if (expected !== undefined) return { offset: record.offset, expected };
    }
    this.#lastBatch = unit.number;
    this.#openBatchAt = offset;
    this.#lastUnitAt = offset;
    this.#end = unit.end;
    return undefined;
  }

  #record(record: ScannedRecord): string | undefined {
    const { head } = record;
    switch (head.type) {
      case "entry":
        return this.#entry(record);
      case "hardState":
        if (head.term < this.hardState.term) return `a term from ${this.hardState.term} on`;
        this.hardState = { term: head.term, votedFor: head.index === 0 ? undefined : head.index };
        return undefined;
      case "truncate":
        if (head.index < this.table.firstIndex || head.index > this.table.lastIndex) {
          return `a truncation in ${this.table.firstIndex} to ${this.table.lastIndex}`;
        }
        this.table.truncateFrom(head.index);
        this.starts.truncated(head.index);
        return chainEquals(this.table.last.chain, head.chain) ? undefined : "the chain to go on";
      case "base":
        return this.#base(record);
      case "reset":
        return this.#reset(record);
      default:
        return `no record of type ${head.type} inside a batch`;
    }
  }

  /** One of an older base, whose entries are gone, means nothing any more. */
  #base({ head, body }: ScannedRecord): string | undefined {
    const { table } = this;
    if (head.index < table.base.index) return undefined;
    if (head.index > table.lastIndex) return `a base up to ${table.lastIndex}, not ${head.index}`;
    const { term, chain } = table.pointAt(head.index);
    if (head.term !== term || !chainEquals(head.chain, chain)) {
      return `the base at entry ${head.index} to be of this history`;
    }
    const configuration = readConfiguration(body);
    if (typeof configuration === "string") return configuration;
    if (head.index > table.base.index) return undefined;
    table.baseConfiguration = configuration;
    this.#baseFound = true;
    return undefined;
  }

  /** The segments before this one mean nothing any more. */
  #reset({ head, body }: ScannedRecord): string | undefined {
    const configuration = readConfiguration(body);
    if (typeof configuration === "string") return configuration;
    const { index, term, chain } = head;
    this.table.reset({ index, term, chain }, configuration);
    this.starts.removeBefore(this.#segment);
    this.#baseFound = true;
    return undefined;
  }

  #entry({ head, offset, body }: ScannedRecord): string | undefined {
    const last = this.table.last;
    const { index, term } = head;
    if (index !== last.index + 1) return `entry ${last.index + 1}, not ${index}`;
    if (term < last.term) return `entry ${index} of term ${last.term} or later, not ${term}`;
    const entryHead = {
      type: head.entry ?? "noop",
      index,
      term,
      bodySizeBytes: body.length,
      checksum: head.bodyChecksum,
    };
    if (!chainEquals(chainNext(last.chain, entryHead), head.chain)) return "the chain to go on";
    let configuration: Configuration | undefined;
    if (entryHead.type === "configuration") {
      const read = readConfiguration(body);
      if (typeof read === "string") return read;
      configuration = read;
    }
    this.table.push({ index, term, chain: head.chain }, body.length, configuration);
    this.table.place(index, this.#segment, offset);
    return undefined;
  }
}

/** @returns What was expected when the bytes are no configuration. */
function readConfiguration(body: Uint8Array): Configuration | string {
  try {
    // The copy lets go of the whole segment, of which the body is a view.
    return decodeConfiguration(body.slice());
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return `a valid configuration (${error.message})`;
  }
}
