import type { LogIndex, SnapshotBase } from "../../lib/raft/types.ts";
import type { Captured, StateMachine } from "../../lib/replica/state_machine.ts";

/** A state machine that keeps nothing but the calls that it gets. */
export class FakeMachine implements StateMachine {
  checkpointIndex: LogIndex = 0;
  consistentIndex: LogIndex = 0;
  installing = false;
  installed: SnapshotBase | undefined;
  diverged: LogIndex | undefined;
  readonly waiting: Captured[] = [];
  readonly applied: LogIndex[] = [];

  apply(index: LogIndex): boolean {
    if (this.installing) throw new Error("There is no database");
    this.applied.push(index);
    return true;
  }

  markDiverged(index: LogIndex): void {
    this.diverged = index;
  }

  beginInstall(): void {
    this.checkpointIndex = this.consistentIndex = 0;
    this.installed = undefined;
    this.installing = true;
  }

  completeInstall(base: SnapshotBase, fuzzyIndex: LogIndex): void {
    this.installing = false;
    this.diverged = undefined;
    this.installed = base;
    this.checkpointIndex = base.index;
    this.consistentIndex = fuzzyIndex;
  }

  /** The first byte tells: 1 is first, 2 is last, 3 both, 0 neither. */
  partOf(payload: Uint8Array): { readonly first: boolean; readonly last: boolean } {
    const [flags = 3] = payload;
    return { first: (flags & 1) !== 0, last: (flags & 2) !== 0 };
  }

  lead = () => {};
  follow = () => {};
  drain = () => this.waiting.shift();
  release = () => {};
  rewind = () => true;
  lastSeq = () => 0;
  releasedSeq = () => 0;
  captured = () => {};
}
