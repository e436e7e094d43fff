import type { LogIndex } from "../raft/types.ts";

/** Callbacks that wait until an index is applied, in the order of their indexes. */
export class AppliedWaiters {
  readonly #waiters: { readonly index: LogIndex; readonly callback: () => void }[] = [];

  wait(index: LogIndex, callback: () => void): void {
    const waiters = this.#waiters;
    let at = waiters.length;
    while (at > 0 && waiters[at - 1]!.index > index) at--;
    waiters.splice(at, 0, { index, callback });
  }

  /** Everything up to `appliedIndex` is applied. */
  advance(appliedIndex: LogIndex): void {
    const waiters = this.#waiters;
    let count = 0;
    while (count < waiters.length && waiters[count]!.index <= appliedIndex) count++;
    if (count === 0) return;
    for (const waiter of waiters.splice(0, count)) waiter.callback();
  }
}
