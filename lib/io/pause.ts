import type { Clock } from "./clock.ts";

/** Waits that can be cut short, one at a time. */
export class Pause {
  readonly #clock: Clock;
  #end: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits, for as long as it is left alone. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(delayMs, resolve);
      this.#end = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Ends the present wait. */
  cut(): void {
    this.#end();
  }
}
