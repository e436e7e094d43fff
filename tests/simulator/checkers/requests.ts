/**
 * What clients were told: an acknowledged write stays, a refused one never appears, and a read sees
 * every write that was acknowledged, and everything that a read returned, before it began.
 */
import type { DatabaseError } from "../../../lib/base/errors.ts";
import type { History } from "./history.ts";
import { require } from "./violation.ts";

/** A read under way. */
export interface OpenRead {
  /** Transactions it has to see. */
  readonly least: number;
}

/** Writes and reads of all clients. */
export class Requests {
  readonly #history: History;
  readonly refused = new Set<number>();
  readonly #open = new Set<number>();
  readonly #unknown = new Set<number>();
  readonly #acknowledged: number[] = [];
  /** Transactions that whoever asks now has to see. */
  #least = 0;
  reads = 0;

  constructor(history: History) {
    this.#history = history;
  }

  get acknowledged(): number {
    return this.#acknowledged.length;
  }

  get unknown(): number {
    return this.#unknown.size;
  }

  isOpen(id: number): boolean {
    return this.#open.has(id);
  }

  writeBegins(id: number): void {
    this.#open.add(id);
  }

  /** The write is answered; undefined means that it is committed. */
  writeEnds(id: number, error: DatabaseError | undefined, who: string): void {
    require(this.#open.delete(id), () => `${who} answers write ${id} twice`);
    const position = this.#history.positionOf(id);
    if (error === undefined) {
      require(position !== undefined, () => `${who} acknowledges ${id}, which is not committed`);
      this.#acknowledged.push(id);
      this.#least = Math.max(this.#least, position);
    } else if (error.outcome === "rejected") {
      require(position === undefined, () => `${who} refuses ${id}, which is committed`);
      this.refused.add(id);
    } else this.#unknown.add(id);
  }

  /** The node died with the write: its outcome stays open. */
  writeLost(id: number): void {
    if (this.#open.delete(id)) this.#unknown.add(id);
  }

  readBegins(): OpenRead {
    return { least: this.#least };
  }

  /** The read returned the first `count` transactions, named by `chain`. */
  readEnds(read: OpenRead, count: number, chain: number, who: string): void {
    this.reads++;
    this.#history.read(count, chain, who);
    require(
      count >= read.least,
      () => `${who}: a stale read: ${count} transactions, ${read.least} were acknowledged before`,
    );
    this.#least = Math.max(this.#least, count);
  }

  /** Nothing that was acknowledged is gone. */
  atEnd(): void {
    for (const id of this.#acknowledged) {
      require(this.#history.positionOf(id) !== undefined, () => `write ${id} is lost`);
    }
  }
}
