import { clearImmediate, setImmediate } from "node:timers";

/** Time, as everything above the edge sees it. */
export interface Clock {
  /** Milliseconds of a clock that never goes back; only differences mean anything. */
  nowMs(): number;
  /** Milliseconds since 1970, for people to read. */
  wallMs(): number;
  /**
   * Calls `callback` once after `delayMs`; with 0, once what is ready on sockets was dealt with.
   *
   * @returns A function that cancels it.
   */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls `callback` as soon as the work at hand is done, before any timer. */
  soon(callback: () => void): void;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    if (delayMs <= 0) {
      const immediate = setImmediate(callback);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  soon: (callback) => queueMicrotask(callback),
};
