import { assert } from "../base/assert.ts";
import type { Clock } from "../io/clock.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** Pause between two interruptions while workers let go of their statements. */
const INTERRUPT_AGAIN_MS = 10;

/**
 * Has every worker let go of its connections. Statements that still run are interrupted until the
 * last worker answered.
 */
export class WorkerResets {
  readonly #pool: () => WorkerPool;
  readonly #clock: Clock;
  readonly #interrupt: () => void;
  /** Answers that are still to come. */
  #missing = 0;
  #quiet: () => void = () => {};

  constructor(pool: () => WorkerPool, clock: Clock, interrupt: () => void) {
    this.#pool = pool;
    this.#clock = clock;
    this.#interrupt = interrupt;
  }

  /** @param quiet Called once every worker let go, also those that were asked before. */
  begin(quiet: () => void): void {
    const before = this.#quiet;
    this.#quiet = () => {
      before();
      quiet();
    };
    this.#missing += this.#pool().size;
    this.#pool().broadcast({ type: "reset" });
    this.#interruptUntilQuiet();
  }

  /**
   * A worker let go.
   *
   * @param settle Called before others are told, once it was the last one.
   */
  answered(settle: () => void): void {
    assert(this.#missing > 0, "a worker answers a reset that was not asked for");
    this.#missing--;
    if (this.#missing > 0) return;
    settle();
    const quiet = this.#quiet;
    this.#quiet = () => {};
    quiet();
  }

  #interruptUntilQuiet(): void {
    if (this.#missing === 0) return;
    this.#interrupt();
    this.#clock.after(INTERRUPT_AGAIN_MS, () => this.#interruptUntilQuiet());
  }
}
