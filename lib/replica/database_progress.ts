/** How far the local transactions of each database came, and who waits for them. */
import type { DatabaseError } from "../base/errors.ts";
import { Gate } from "./gate.ts";
import type { StateMachine } from "./state_machine.ts";

/** Of one database; see {@linkcode Gate}. */
export class DatabaseProgress {
  readonly id: number;
  readonly gate = new Gate();
  /** Number of the last transaction that was proposed. */
  proposedSeq: number;
  /** Number of the last transaction that is committed on a quorum. */
  committedSeq: number;

  /** @param seq The last transaction before the first that will be proposed. */
  constructor(id: number, seq: number) {
    this.id = id;
    this.proposedSeq = seq;
    this.committedSeq = seq;
    this.gate.open(seq);
  }

  /** Starts anew, behind a transaction. */
  reset(seq: number): void {
    this.proposedSeq = seq;
    this.committedSeq = seq;
    this.gate.open(seq);
  }
}

/** Of the databases that were used since they were opened. */
export class ProgressTable {
  readonly #machine: Pick<StateMachine, "lastSeq" | "releasedSeq">;
  readonly #databases = new Map<number, DatabaseProgress>();

  constructor(machine: Pick<StateMachine, "lastSeq" | "releasedSeq">) {
    this.#machine = machine;
  }

  /** @param isSettled Whether all that was captured is committed, or was taken back. */
  of(id: number, isSettled: boolean): DatabaseProgress {
    let progress = this.#databases.get(id);
    if (progress === undefined) {
      // In an office nothing of it was proposed yet.
      const seq = isSettled ? this.#machine.lastSeq(id) : this.#machine.releasedSeq(id);
      progress = new DatabaseProgress(id, seq);
      this.#databases.set(id, progress);
    }
    return progress;
  }

  /** The last committed transaction; undefined when none was proposed. */
  committedSeq(id: number): number | undefined {
    return this.#databases.get(id)?.committedSeq;
  }

  /** An office begins: transactions are proposed from here on. */
  begin(): void {
    for (const progress of this.#databases.values()) {
      progress.reset(this.#machine.lastSeq(progress.id));
    }
  }

  /** What was taken back is settled too: nobody reads it any more. */
  settle(): void {
    for (const { id, gate } of this.#databases.values()) gate.open(this.#machine.lastSeq(id));
  }

  /** Answers everyone who waits, by what became of the transaction waited for. */
  fail(errorFor: (progress: DatabaseProgress, seq: number) => DatabaseError): void {
    for (const progress of this.#databases.values()) {
      progress.gate.fail((seq) => errorFor(progress, seq));
    }
  }

  /** All databases are others: transactions are counted anew. Nobody waits. */
  restart(): void {
    for (const { gate } of this.#databases.values()) gate.restart(0);
    this.#databases.clear();
  }

  /** A database was closed: opened again it counts anew. */
  forget(id: number, error: DatabaseError): void {
    this.#databases.get(id)?.gate.fail(() => error);
    this.#databases.delete(id);
  }
}
