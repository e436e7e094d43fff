import type { Outcome } from "../base/errors.ts";

/** One transaction that was sent, and what was answered. */
export interface Attempt {
  /** Its place in the ledger, from 0; every row it writes carries it. */
  readonly batch: number;
  /** The first of the places it writes; they follow one another. */
  readonly firstPlace: number;
  readonly rows: number;
  /** Undefined while no answer came. */
  answer: "acknowledged" | Outcome | undefined;
}

/** What was written by whom with which answer: the truth that the databases are held against. */
export class Ledger {
  readonly #attempts: Attempt[] = [];
  #rowsAcknowledged = 0;
  readonly #count = { acknowledged: 0, rejected: 0, unknown: 0 };

  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  get rowsAcknowledged(): number {
    return this.#rowsAcknowledged;
  }

  /** Transactions with this answer. */
  count(answer: "acknowledged" | Outcome): number {
    return this.#count[answer];
  }

  /** Notes a transaction before it is sent. */
  begin(firstPlace: number, rows: number): Attempt {
    const batch = this.#attempts.length;
    const attempt: Attempt = { batch, firstPlace, rows, answer: undefined };
    this.#attempts.push(attempt);
    return attempt;
  }

  /** Notes the answer. */
  answer(attempt: Attempt, answer: "acknowledged" | Outcome): void {
    attempt.answer = answer;
    this.#count[answer]++;
    if (answer === "acknowledged") this.#rowsAcknowledged += attempt.rows;
  }
}
