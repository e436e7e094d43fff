import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import type { LogIndex } from "../raft/types.ts";

interface Proposal {
  readonly index: LogIndex;
  readonly seq: number;
}

/**
 * Which entry of the log carries which local transactions: both numbers grow together, so a commit
 * index tells up to which transaction everything is committed.
 */
export class Proposals {
  readonly #queue: Proposal[] = [];
  #committed = 0;
  #released = 0;
  #committedSeq = 0;
  #releasedSeq = 0;
  #lastSeq = 0;

  /** Number of the last transaction that was proposed. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  get committedSeq(): number {
    return this.#committedSeq;
  }

  /** Starts anew, at the last transaction before the first that will be proposed. */
  reset(seq: number): void {
    this.#queue.length = 0;
    this.#committed = 0;
    this.#released = 0;
    this.#committedSeq = seq;
    this.#releasedSeq = seq;
    this.#lastSeq = seq;
  }

  /** What became of a transaction that leadership was lost over. */
  lostError(seq: number): DatabaseError {
    if (seq > this.#lastSeq) {
      return new DatabaseError("NOT_LEADER", "This node stopped leading before the write was sent");
    }
    return new DatabaseError(
      "LEADERSHIP_LOST",
      "Leadership was lost before the write was committed: it may or may not take effect",
      { hint: "Read the data back before trying again" },
    );
  }

  /** The entry at `index` carries all transactions up to `seq` that no earlier entry carries. */
  push(index: LogIndex, seq: number): void {
    const last = this.#queue.at(-1);
    assert(last === undefined || last.index < index, `proposal at ${index} is out of order`);
    assert(seq > this.#lastSeq, `proposal of transaction ${seq} after ${this.#lastSeq}`);
    this.#queue.push({ index, seq });
    this.#lastSeq = seq;
  }

  /** Moves the commit index; returns the last committed transaction. */
  commit(commitIndex: LogIndex): number {
    while (this.#committed < this.#queue.length) {
      const proposal = this.#queue[this.#committed]!;
      if (proposal.index > commitIndex) break;
      this.#committedSeq = proposal.seq;
      this.#committed++;
    }
    return this.#committedSeq;
  }

  /** Moves the index that is both committed and durable; returns the last such transaction. */
  release(safeIndex: LogIndex): number {
    while (this.#released < this.#committed) {
      const proposal = this.#queue[this.#released]!;
      if (proposal.index > safeIndex) break;
      this.#releasedSeq = proposal.seq;
      this.#released++;
    }
    if (this.#released > 1024 || this.#released === this.#queue.length) {
      this.#queue.splice(0, this.#released);
      this.#committed -= this.#released;
      this.#released = 0;
    }
    return this.#releasedSeq;
  }
}
