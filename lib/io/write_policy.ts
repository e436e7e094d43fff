/**
 * Chooses, for each durable write, between the calling thread and the thread pool. A hop through
 * the pool costs as much as the write itself on a fast disk; a write on the calling thread stops
 * everything on a slow one. So the choice follows what the disk did lately.
 */

/** Where a durable write runs: `direct` on the calling thread, `pool` in the thread pool. */
export type WriteMode = "direct" | "pool";

/** A write above this size always goes through the pool, and tells nothing of the disk's speed. */
export const DIRECT_BYTES_MAX = 128 * 1024;
/**
 * The median pool write must be faster than this for the calling thread to be tried. What the pool
 * takes includes how long the calling thread was busy with other things: only a try shows what the
 * disk itself takes.
 */
const FAST_MS = 1.5;
/** One direct write slower than this ends the use of the calling thread. */
const SLOW_ONCE_MS = 25;
/** So does a moving average above this. */
const SLOW_AVERAGE_MS = 0.6;
const AVERAGE_WEIGHT = 1 / 16;
/** What a single stall counts for at most: disks have them now and then, and writes wait anyway. */
const STALL_MS = 4;
/** Pool writes that are looked at before the first try. */
const PROBE_WRITES_MIN = 16;
/** Each failed try doubles the wait for the next one, up to this number of pool writes. */
const PROBE_WRITES_MAX = 4096;
/** After this many direct writes a try counts as a success, and the doubling starts anew. */
const SETTLED_WRITES = 256;

/** The policy of one disk. Pure: it is told the durations. */
export class WritePolicy {
  #mode: WriteMode = "pool";
  #probeAfter = PROBE_WRITES_MIN;
  /** Writes of the current mode, and those of them that were fast. */
  #writes = 0;
  #fastWrites = 0;
  #averageMs = 0;

  /** Where a write of `sizeBytes` should run now. */
  choose(sizeBytes: number): WriteMode {
    return sizeBytes > DIRECT_BYTES_MAX ? "pool" : this.#mode;
  }

  /** Takes note of a write of `sizeBytes` that ran in `mode` and took `durationMs`. */
  record(mode: WriteMode, sizeBytes: number, durationMs: number): void {
    // A pool write that began before the mode changed says nothing of the calling thread.
    if (sizeBytes > DIRECT_BYTES_MAX || mode !== this.#mode) return;
    if (mode === "pool") this.#recordPool(durationMs);
    else this.#recordDirect(durationMs);
  }

  #recordPool(durationMs: number): void {
    this.#writes++;
    if (durationMs < FAST_MS) this.#fastWrites++;
    if (this.#writes < this.#probeAfter) return;
    this.#restart(this.#fastWrites * 2 > this.#writes ? "direct" : "pool");
  }

  #recordDirect(durationMs: number): void {
    this.#writes++;
    this.#averageMs += (Math.min(durationMs, STALL_MS) - this.#averageMs) * AVERAGE_WEIGHT;
    if (durationMs > SLOW_ONCE_MS || this.#averageMs > SLOW_AVERAGE_MS) {
      this.#probeAfter = Math.min(this.#probeAfter * 2, PROBE_WRITES_MAX);
      this.#restart("pool");
    } else if (this.#writes === SETTLED_WRITES) {
      this.#probeAfter = PROBE_WRITES_MIN;
    }
  }

  #restart(mode: WriteMode): void {
    this.#mode = mode;
    this.#writes = 0;
    this.#fastWrites = 0;
    this.#averageMs = 0;
  }
}
