import { assert } from "../base/assert.ts";
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import type { StateMachine } from "./state_machine.ts";

/** Work done in one go before sockets and timers get their turn. */
const APPLY_SLICE_MS = 5;
/** Read from the log at once: what a slice does not get to is read again by the next one. */
const APPLY_READ_BYTES = 32 * 1024;

/** Applies committed entries, in slices, so that heartbeats are never late. */
export class ApplySlice {
  readonly #log: RaftLog;
  readonly #machine: StateMachine;
  readonly #clock: Clock;

  constructor(log: RaftLog, machine: StateMachine, clock: Clock) {
    this.#log = log;
    this.#machine = machine;
    this.#clock = clock;
  }

  /**
   * Applies entries that follow one another, for a while.
   *
   * @param appliedIndex The last one that was applied.
   * @param target The last one that may be.
   * @param applied Told of each one.
   */
  run(appliedIndex: LogIndex, target: LogIndex, applied: (index: LogIndex) => void): void {
    const untilMs = this.#clock.nowMs() + APPLY_SLICE_MS;
    let last = appliedIndex;
    while (last < target && this.#clock.nowMs() < untilMs) {
      const entries = this.#log.entries(last + 1, target, APPLY_READ_BYTES);
      assert(entries !== undefined, `committed entry ${last + 1} is not in the log`);
      for (const entry of entries) {
        assert(entry.index === last + 1, `entry ${entry.index} is out of order`);
        if (!this.#applyEntry(entry, untilMs)) return;
        last = entry.index;
        applied(last);
        if (this.#clock.nowMs() >= untilMs) return;
      }
    }
  }

  /** Whether the entry is applied as a whole; a large batch takes several slices. */
  #applyEntry(entry: Entry, untilMs: number): boolean {
    if (entry.type !== "command") return true;
    const earlier = (index: LogIndex) => this.#payloadAt(index);
    while (!this.#machine.apply(entry.index, entry.payload, earlier)) {
      if (this.#machine.waits === true || this.#clock.nowMs() >= untilMs) return false;
    }
    return true;
  }

  #payloadAt(index: LogIndex): Uint8Array | undefined {
    const entry = this.#log.entries(index, index, Infinity)?.[0];
    assert(entry !== undefined, `entry ${index} is not in the log`);
    return entry.type === "command" ? entry.payload : undefined;
  }
}
