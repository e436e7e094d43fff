import type { LogIndex } from "../raft/types.ts";
import type { LogPoint } from "./batch.ts";

/** A segment, and the end of the log before it. */
export interface SegmentStart {
  readonly sequence: number;
  readonly before: LogPoint;
}

/**
 * Where the log may begin once its start is given up: at a segment whose records never reach back
 * behind it. A segment with a truncation that does cannot be read without the ones before.
 */
export class SegmentStarts {
  #starts: { sequence: number; before: LogPoint; usable: boolean }[] = [];

  /** The first segment. */
  get first(): number {
    return this.#starts[0]?.sequence ?? 0;
  }

  /** A segment follows those that were added before. */
  add(sequence: number, before: LogPoint): void {
    this.#starts.push({ sequence, before, usable: true });
  }

  /** The newest segment holds a truncation, or an older one did when it was the newest. */
  truncated(from: LogIndex): void {
    for (const start of this.#starts) if (start.before.index >= from) start.usable = false;
  }

  /** The newest segment, other than the first, before which there is no entry after `index`. */
  newestUpTo(index: LogIndex): SegmentStart | undefined {
    for (let i = this.#starts.length - 1; i > 0; i--) {
      const start = this.#starts[i]!;
      if (start.usable && start.before.index <= index) return start;
    }
    return undefined;
  }

  /** Forgets the segments before `sequence`. */
  removeBefore(sequence: number): void {
    this.#starts = this.#starts.filter((start) => start.sequence >= sequence);
  }
}
