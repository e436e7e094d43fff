import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import type { LogIndex } from "../raft/types.ts";
import type { DatabaseProgress } from "./database_progress.ts";

interface Proposal {
  readonly index: LogIndex;
  readonly database: DatabaseProgress;
  readonly seq: number;
}

/**
 * Which entry of the log carries which local transactions of which database: index and number grow
 * together, so a commit index tells up to which transaction everything is committed.
 */
export class Proposals {
  readonly #queue: Proposal[] = [];
  #committed = 0;
  #released = 0;

  /** Forgets everything: another office begins. */
  reset(): void {
    this.#queue.length = 0;
    this.#committed = 0;
    this.#released = 0;
  }

  /** The entry at `index` carries all transactions up to `seq` that no earlier entry carries. */
  push(index: LogIndex, database: DatabaseProgress, seq: number): void {
    const last = this.#queue.at(-1);
    assert(last === undefined || last.index < index, `proposal at ${index} is out of order`);
    assert(seq > database.proposedSeq, `transaction ${seq} after ${database.proposedSeq}`);
    this.#queue.push({ index, database, seq });
    database.proposedSeq = seq;
  }

  /** Moves the commit index: `visit` is called for each database that has new transactions. */
  commit(commitIndex: LogIndex, visit: (database: DatabaseProgress) => void): void {
    const from = this.#committed;
    while (this.#committed < this.#queue.length) {
      const { index, database, seq } = this.#queue[this.#committed]!;
      if (index > commitIndex) break;
      database.committedSeq = seq;
      this.#committed++;
    }
    visitLast(this.#queue, from, this.#committed, visit);
  }

  /** As {@linkcode commit}, for the index up to which all is committed and durable. */
  release(safeIndex: LogIndex, visit: (database: DatabaseProgress, seq: number) => void): void {
    const from = this.#released;
    while (this.#released < this.#committed) {
      if (this.#queue[this.#released]!.index > safeIndex) break;
      this.#released++;
    }
    visitLast(this.#queue, from, this.#released, visit);
    if (this.#released > 1024 || this.#released === this.#queue.length) {
      this.#queue.splice(0, this.#released);
      this.#committed -= this.#released;
      this.#released = 0;
    }
  }
}

/** Visits each database of some proposals with the last transaction that it has there. */
function visitLast(
  queue: readonly Proposal[],
  from: number,
  end: number,
  visit: (database: DatabaseProgress, seq: number) => void,
): void {
  if (from === end) return;
  if (end - from === 1) return visit(queue[from]!.database, queue[from]!.seq);
  const last = new Map<DatabaseProgress, number>();
  for (let at = from; at < end; at++) last.set(queue[at]!.database, queue[at]!.seq);
  for (const [database, seq] of last) visit(database, seq);
}

/** What became of a transaction that leadership was lost over. */
export function lostError(database: DatabaseProgress | undefined, seq: number): DatabaseError {
  if (database !== undefined && seq <= database.proposedSeq) return leadershipLost();
  return new DatabaseError("NOT_LEADER", "This node stopped leading before the write was sent");
}

/** What became of anything that was proposed, and not committed yet, when leadership was lost. */
export function leadershipLost(): DatabaseError {
  return new DatabaseError(
    "LEADERSHIP_LOST",
    "Leadership was lost before the write was committed: it may or may not take effect",
    { hint: "Read the data back before trying again" },
  );
}
