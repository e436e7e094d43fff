import { assert } from "../base/assert.ts";
import type { DatabaseError } from "../base/errors.ts";

/** Called once: without an error when everything is committed, else with what became of it. */
export type GateCallback = (error: DatabaseError | undefined) => void;

interface Waiter {
  readonly seq: number;
  readonly callback: GateCallback;
}

/**
 * Holds replies back until the transactions they may show are committed on a quorum: nothing that
 * could be rewound is ever shown.
 */
export class Gate {
  #committedSeq = 0;
  /** Sorted by seq; replies with equal seq keep their order. */
  readonly #waiters: Waiter[] = [];
  #head = 0;

  get committedSeq(): number {
    return this.#committedSeq;
  }

  get size(): number {
    return this.#waiters.length - this.#head;
  }

  /** Calls back once every transaction up to `seq` is committed; at once when it is already. */
  wait(seq: number, callback: GateCallback): void {
    if (seq <= this.#committedSeq) {
      callback(undefined);
      return;
    }
    const waiters = this.#waiters;
    let at = waiters.length;
    while (at > this.#head && waiters[at - 1]!.seq > seq) at--;
    if (at === waiters.length) waiters.push({ seq, callback });
    else waiters.splice(at, 0, { seq, callback });
  }

  /** The database is another one: transactions are counted anew. Nobody waits. */
  restart(seq: number): void {
    assert(this.size === 0, `${this.size} replies wait for a database that is gone`);
    this.#committedSeq = seq;
  }

  /** Transactions up to `seq` are committed. */
  open(seq: number): void {
    assert(seq >= this.#committedSeq, `gate goes back from ${this.#committedSeq} to ${seq}`);
    this.#committedSeq = seq;
    const waiters = this.#waiters;
    while (this.#head < waiters.length && waiters[this.#head]!.seq <= seq) {
      const waiter = waiters[this.#head]!;
      this.#head++;
      waiter.callback(undefined);
    }
    this.#compact();
  }

  /** Answers everyone who waits with an error that depends on the transaction waited for. */
  fail(errorFor: (seq: number) => DatabaseError): void {
    const waiters = this.#waiters.splice(this.#head);
    this.#waiters.length = 0;
    this.#head = 0;
    for (const waiter of waiters) waiter.callback(errorFor(waiter.seq));
  }

  #compact(): void {
    if (this.#head < 1024 && this.#head < this.#waiters.length) return;
    this.#waiters.splice(0, this.#head);
    this.#head = 0;
  }
}
