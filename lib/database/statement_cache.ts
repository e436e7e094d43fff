/** Prepared statements by their text, the least recently used one given up first. */
import { assert } from "../base/assert.ts";
import type { Statement } from "./statement.ts";

/** What a text was prepared into. */
export interface Prepared {
  /** Undefined when the text holds no statement: it is blank, or only comments. */
  readonly statement: Statement | undefined;
  /** The text after the statement. */
  readonly tail: string;
}

/** A bounded cache; it closes the statements that it gives up. */
export class StatementCache {
  readonly #countMax: number;
  /** In the order of use, the least recent one first. */
  readonly #entries = new Map<string, Prepared>();
  /** The one that was used last. */
  #latest: Prepared | undefined;

  /** @param countMax Statements kept; at least 1. */
  constructor(countMax: number) {
    assert(countMax >= 1, `a cache of ${countMax} statements`);
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#entries.size;
  }

  /** What `sql` was prepared into, unless that is in use at the moment. */
  take(sql: string): Prepared | undefined {
    const entry = this.#entries.get(sql);
    if (entry === undefined) return undefined;
    if (entry.statement === undefined || entry.statement.isBusy) return undefined;
    // A batch runs the same text again and again: it stands in its place already.
    if (entry === this.#latest && !entry.statement.isClosed) return entry;
    this.#entries.delete(sql);
    if (entry.statement.isClosed) return undefined;
    this.#entries.set(sql, entry);
    this.#latest = entry;
    return entry;
  }

  /** Keeps `entry`, and retires what it replaces or pushes out. */
  keep(sql: string, entry: Prepared): void {
    this.#latest = entry;
    const replaced = this.#entries.get(sql);
    this.#entries.delete(sql);
    this.#entries.set(sql, entry);
    replaced?.statement?.retire();
    for (const [oldest, { statement }] of this.#entries) {
      if (this.#entries.size <= this.#countMax) break;
      this.#entries.delete(oldest);
      statement?.retire();
    }
  }

  /** Forgets everything; closes nothing. */
  clear(): void {
    this.#entries.clear();
    this.#latest = undefined;
  }
}
