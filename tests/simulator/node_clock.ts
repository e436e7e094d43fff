/** The clock of one life of a node: it drifts, jumps ahead, and stands still while one looks. */
import type { Clock } from "../../lib/io/clock.ts";
import type { Owner, World } from "./world.ts";

/** See the file comment. */
export class NodeClock implements Clock {
  readonly #world: World;
  readonly #owner: Owner;
  /** How fast it goes: 1000 is right. */
  readonly #ratePermille: number;
  /** Told when work that was cut into slices goes on. */
  readonly #onSlice: () => void;
  #offsetUs = 0;
  /** Whether what runs was put off to a turn of its own. */
  #inTurn = false;

  constructor(world: World, owner: Owner, ratePermille: number, onSlice: () => void) {
    this.#world = world;
    this.#owner = owner;
    this.#ratePermille = ratePermille;
    this.#onSlice = onSlice;
  }

  nowMs(): number {
    const nowUs = Math.floor(this.#world.nowUs * this.#ratePermille / 1000);
    return (nowUs + this.#offsetUs) / 1000;
  }

  wallMs(): number {
    return this.nowMs();
  }

  after(delayMs: number, callback: () => void): () => void {
    if (delayMs === 0) return this.#afterTurn(callback);
    const delayUs = delayMs * 1000 * 1000 / this.#ratePermille;
    return this.#world.after(delayUs, this.#owner, "timer", callback);
  }

  soon(callback: () => void): void {
    this.#world.soon(this.#owner, callback);
  }

  #afterTurn(callback: () => void): () => void {
    if (this.#inTurn) this.#onSlice();
    return this.#world.after(0, this.#owner, "turn", () => {
      this.#inTurn = true;
      try {
        callback();
      } finally {
        this.#inTurn = false;
      }
    });
  }

  /** The clock goes ahead at once; no timer is due earlier for it. */
  jump(us: number): void {
    this.#offsetUs += us;
  }
}
