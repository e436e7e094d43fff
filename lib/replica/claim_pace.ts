/**
 * How often a leader tells the digest of its database: every so many batches, and with the first
 * one after a while, so that a replica that differs is found whether there are many writes or few.
 */
import { CLAIM_BATCHES, CLAIM_MS } from "../base/limits.ts";

/** See the file comment. */
export class ClaimPace {
  readonly #batches: number;
  readonly #nowMs: () => number;
  #since = 0;
  #lastMs = -Infinity;

  /** @param nowMs Stands still by default, so that only batches count. */
  constructor(nowMs: () => number = () => 0, batches: number = CLAIM_BATCHES) {
    this.#nowMs = nowMs;
    this.#batches = batches;
  }

  /** A batch was committed: whether its digest is to be told. */
  isDue(): boolean {
    this.#since++;
    const nowMs = this.#nowMs();
    if (this.#since < this.#batches && nowMs - this.#lastMs < CLAIM_MS) return false;
    this.#since = 0;
    this.#lastMs = nowMs;
    return true;
  }
}
