/**
 * Who may write next. SQLite lets one connection write at a time; asking it in turn costs no
 * polling, is fair, and never blocks a worker's thread while the holder waits for its client.
 */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { WRITE_BATCH_MAX, WRITE_QUEUE_MAX } from "../base/limits.ts";

/** One who wants to write. */
export interface Writer {
  /** One-shot requests share a turn when they stand next to each other. */
  readonly shared: boolean;
  readonly deadlineMs: number;
  /** Refuses the turn: the wait was too long, or the node stopped leading. */
  refuse(error: DatabaseError): void;
}

/** A FIFO queue with one turn. */
export class WriteQueue<T extends Writer> {
  readonly #waiting: T[] = [];
  readonly #grant: (writers: readonly T[]) => void;
  readonly #mayWrite: () => boolean;
  #taken = false;

  /**
   * @param mayWrite Whether a turn may be given at all right now.
   * @param grant Told who got the turn: one writer, or several that share it.
   */
  constructor(mayWrite: () => boolean, grant: (writers: readonly T[]) => void) {
    this.#mayWrite = mayWrite;
    this.#grant = grant;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get taken(): boolean {
    return this.#taken;
  }

  /** Joins the end of the queue. */
  join(writer: T): void {
    if (this.#waiting.length >= WRITE_QUEUE_MAX) {
      writer.refuse(
        new DatabaseError("BUSY", `More than ${WRITE_QUEUE_MAX} writes are waiting already`, {
          hint: "Send fewer writes at once, or put several into one transaction",
        }),
      );
      return;
    }
    this.#waiting.push(writer);
    this.next();
  }

  /** The turn is free again. */
  release(): void {
    assert(this.#taken, "the write turn is given back, but nobody holds it");
    this.#taken = false;
    this.next();
  }

  /** Gives the turn to whoever is first, when it is free. */
  next(): void {
    if (this.#taken || this.#waiting.length === 0 || !this.#mayWrite()) return;
    this.#taken = true;
    this.#grant(this.#waiting.splice(0, Math.max(1, this.#sharing())));
  }

  /** Lets those who stand first, and share turns, share the one that was given to others. */
  share(): readonly T[] {
    assert(this.#taken, "a turn is shared that nobody holds");
    return this.#mayWrite() ? this.#waiting.splice(0, this.#sharing()) : [];
  }

  /** How many of those who stand first share a turn. */
  #sharing(): number {
    const most = Math.min(this.#waiting.length, WRITE_BATCH_MAX);
    let count = 0;
    while (count < most && this.#waiting[count]!.shared) count++;
    return count;
  }

  /** Takes a writer that gave up out of the queue. */
  leave(writer: T): void {
    const at = this.#waiting.indexOf(writer);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** Refuses those whose time is up. */
  expire(nowMs: number): void {
    const busy = "database is locked: another transaction writes";
    const hint = "Try again; keep write transactions short";
    const error = new DatabaseError("TRANSACTION_BUSY", busy, { hint });
    this.refuse(error, (waiting) => waiting.deadlineMs <= nowMs);
  }

  /** Refuses those that `which` picks. */
  refuse(error: DatabaseError, which: (writer: T) => boolean): void {
    for (const writer of this.#waiting.filter(which)) {
      this.leave(writer);
      writer.refuse(error);
    }
  }

  /** Refuses everyone, and forgets who holds the turn. */
  clear(error: DatabaseError): void {
    this.#taken = false;
    for (const writer of this.#waiting.splice(0)) writer.refuse(error);
  }
}
