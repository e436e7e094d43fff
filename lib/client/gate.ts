import { assert } from "../base/assert.ts";
import { ClientError } from "./error.ts";

/** Lets a bounded number through at once; the others wait in order, up to a bound. */
export class Gate {
  readonly #width: number;
  readonly #queueMax: number;
  readonly #waiting: (() => void)[] = [];
  /** How many are inside. */
  #inside = 0;
  /** Where the queue begins: entries before it were let in already. */
  #head = 0;

  constructor(width: number, queueMax: number) {
    this.#width = width;
    this.#queueMax = queueMax;
  }

  /**
   * Waits for a place; it must be given back by {@linkcode Gate.leave}.
   *
   * @throws {ClientError} `BUSY` when too many wait already.
   */
  async enter(): Promise<void> {
    if (this.#inside < this.#width) {
      this.#inside++;
      return;
    }
    if (this.#waiting.length - this.#head >= this.#queueMax) {
      throw new ClientError("BUSY", `More than ${this.#queueMax} requests wait in this client`, {
        hint: "Wait for earlier calls before starting more",
      });
    }
    // The one who leaves hands over its place, so the count stays.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    assert(this.#inside > 0, "a place was given back that nobody held");
    const next = this.#waiting[this.#head];
    if (next === undefined) {
      this.#inside--;
      return;
    }
    this.#head++;
    // Cut off what was let in, seldom enough to cost nothing for each.
    if (this.#head === this.#waiting.length || this.#head >= this.#queueMax) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
    next();
  }
}
