/** Lets time pass for the core, in ticks. */
import type { Clock } from "../io/clock.ts";

/** Ticks that a late timer may make up for; more would call an election out of a pause. */
const LATE_TICKS_MAX = 2;

/** See the file comment. */
export class Ticker {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #onTicks: (ticks: number, nowMs: number) => void;
  #lastMs = 0;
  #isStopped = false;
  #cancel: () => void = () => {};

  /** @param onTicks Called once a tick or more have passed. */
  constructor(clock: Clock, tickMs: number, onTicks: (ticks: number, nowMs: number) => void) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#onTicks = onTicks;
  }

  start(): void {
    this.#lastMs = this.#clock.nowMs();
    this.#schedule();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #schedule(): void {
    this.#cancel = this.#clock.after(this.#tickMs, () => {
      const nowMs = this.#clock.nowMs();
      const elapsed = Math.floor((nowMs - this.#lastMs) / this.#tickMs);
      this.#lastMs = nowMs;
      this.#onTicks(Math.max(1, Math.min(elapsed, LATE_TICKS_MAX)), nowMs);
      if (!this.#isStopped) this.#schedule();
    });
  }
}
