/** The real log, with its promises noted as it makes them. */
import type { SegmentLog } from "../../lib/log/segment_log.ts";
import type { LogBase, LogBatch, LogSpace, RaftLog } from "../../lib/log/types.ts";
import type { Configuration, Entry, HardState, LogIndex, Term } from "../../lib/raft/types.ts";
import type { Chain } from "../../lib/wire/chain.ts";
import type { Durable } from "./checkers/durable.ts";

/** Told of what a log does. */
export interface LogWatch {
  /** An entry entered the log; `chain` names it and everything before it. */
  entered(entry: Entry, chain: Chain): void;
  /** The log goes on after a snapshot. */
  reset(base: LogBase): void;
  truncated(): void;
  /** A log that was cut is whole again, durably. */
  recovered(): void;
  /** An entry came from the disk, not from memory. */
  readBack(): void;
}

/** See the file comment. */
export class ObservedLog implements RaftLog {
  readonly #log: SegmentLog;
  readonly #durable: Durable;
  readonly #watch: LogWatch;
  /** What was handed to the log in this life, by index. */
  readonly #entered: Entry[] = [];

  constructor(log: SegmentLog, durable: Durable, watch: LogWatch) {
    this.#log = log;
    this.#durable = durable;
    this.#watch = watch;
  }

  get firstIndex(): LogIndex {
    return this.#log.firstIndex;
  }

  get baseIndex(): LogIndex {
    return this.#log.baseIndex;
  }

  get baseTerm(): Term {
    return this.#log.baseTerm;
  }

  get baseConfiguration(): Configuration {
    return this.#log.baseConfiguration;
  }

  get lastIndex(): LogIndex {
    return this.#log.lastIndex;
  }

  get durableIndex(): LogIndex {
    return this.#log.durableIndex;
  }

  get hardState(): HardState {
    return this.#log.hardState;
  }

  get recovering(): boolean {
    return this.#log.recovering;
  }

  get space(): LogSpace {
    return this.#log.space;
  }

  hasRoomFor(count: number, payloadBytes: number): boolean {
    return this.#log.hasRoomFor(count, payloadBytes);
  }

  termAt(index: LogIndex): Term | undefined {
    return this.#log.termAt(index);
  }

  bodySizeBytes(index: LogIndex): number {
    return this.#log.bodySizeBytes(index);
  }

  baseAt(index: LogIndex): LogBase | undefined {
    return this.#log.baseAt(index);
  }

  append(batch: LogBatch, done: () => void): void {
    const mark = this.#durable.append(batch);
    this.#log.append(batch, () => {
      this.#durable.reached(mark);
      if (batch.truncateFrom !== undefined) this.#watch.truncated();
      if (batch.recovered === true) this.#watch.recovered();
      done();
    });
    const { reset } = batch;
    if (reset !== undefined) this.#watch.reset(reset);
    for (const entry of batch.entries) {
      const point = this.#log.pointAt(entry.index);
      if (point !== undefined) this.#watch.entered(entry, point.chain);
      this.#entered[entry.index] = entry;
    }
  }

  entries(first: LogIndex, last: LogIndex, bytesMax: number): readonly Entry[] | undefined {
    const entries = this.#log.entries(first, last, bytesMax);
    const [entry] = entries ?? [];
    if (entry !== undefined && entry !== this.#entered[entry.index]) this.#watch.readBack();
    return entries;
  }

  prefixEnd(index: LogIndex): LogIndex {
    return this.#log.prefixEnd(index);
  }

  truncatePrefix(index: LogIndex): void {
    this.#durable.compact(index);
    this.#log.truncatePrefix(index);
  }

  close(done: () => void): void {
    this.#log.close(done);
  }
}
