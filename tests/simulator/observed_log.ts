/** The real log, with its promises noted as it makes them. */
import type { SegmentLog } from "../../lib/log/segment_log.ts";
import type { LogBatch, RaftLog } from "../../lib/log/types.ts";
import type { Entry, HardState, LogIndex, Term } from "../../lib/raft/types.ts";
import type { Chain } from "../../lib/wire/chain.ts";
import type { Durable } from "./checkers/durable.ts";

/** Told of every entry that enters a log. */
export type EntryWatch = (index: LogIndex, term: Term, chain: Chain) => void;

/** See the file comment. */
export class ObservedLog implements RaftLog {
  readonly #log: SegmentLog;
  readonly #durable: Durable;
  readonly #watch: EntryWatch;
  readonly #onTruncate: () => void;

  constructor(log: SegmentLog, durable: Durable, watch: EntryWatch, onTruncate: () => void) {
    this.#log = log;
    this.#durable = durable;
    this.#watch = watch;
    this.#onTruncate = onTruncate;
  }

  get firstIndex(): LogIndex {
    return this.#log.firstIndex;
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

  termAt(index: LogIndex): Term | undefined {
    return this.#log.termAt(index);
  }

  append(batch: LogBatch, done: () => void): void {
    const mark = this.#durable.append(batch);
    this.#log.append(batch, () => {
      this.#durable.reached(mark);
      if (batch.truncateFrom !== undefined) this.#onTruncate();
      done();
    });
    for (const { index, term } of batch.entries) {
      const point = this.#log.pointAt(index);
      if (point !== undefined) this.#watch(index, term, point.chain);
    }
  }

  entries(first: LogIndex, last: LogIndex, bytesMax: number): readonly Entry[] | undefined {
    return this.#log.entries(first, last, bytesMax);
  }

  close(done: () => void): void {
    this.#log.close(done);
  }
}
