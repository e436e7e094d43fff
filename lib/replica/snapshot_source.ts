/**
 * The giving end of a snapshot. The database file is the snapshot: its pages are copied while the
 * node goes on, checkpoints included. What is copied holds everything up to where the file was
 * complete when the copy began, and nothing beyond the last checkpoint that was begun when it
 * ended; the entries in between make one state of it.
 */
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import type { Raft } from "../raft/raft.ts";
import type { LogIndex, NodeId, SnapshotBase } from "../raft/types.ts";
import { boundaryIndex } from "./batch_boundary.ts";
import type { LogPins } from "./log_pins.ts";
import type { Replica } from "./replica.ts";
import type { StateMachine } from "./state_machine.ts";

/** What a source is made of. */
export interface SnapshotSourceOptions {
  readonly raft: Raft;
  readonly log: RaftLog;
  readonly machine: StateMachine;
  readonly replica: Replica;
  readonly pins: LogPins;
  readonly clock: Clock;
}

/** See the file comment. */
export class SnapshotSource {
  readonly #options: SnapshotSourceOptions;

  constructor(options: SnapshotSourceOptions) {
    this.#options = options;
  }

  /**
   * A copy for `peer` begins: the first page is read after this. The log is kept for the peer.
   *
   * @returns The entry up to which the copy will hold everything; undefined when the file holds no
   * database, or its node cannot vouch for it now.
   */
  begin(peer: NodeId): SnapshotBase | undefined {
    const { raft, log, machine, replica, pins, clock } = this.#options;
    const settled = replica.mode === "leading" || replica.mode === "following";
    if (!settled || replica.diverged || machine.checkpointIndex === 0) return undefined;
    const base = log.baseAt(boundaryIndex(machine.checkpointIndex, log, machine));
    if (base === undefined || base.index === 0) return undefined;
    pins.pin(peer, base.index, clock.nowMs());
    return { ...base, knownInTerm: raft.term };
  }

  /**
   * A part of the copy is asked for.
   *
   * @param base What {@linkcode begin} returned.
   * @returns False when the copy cannot go on: a snapshot of another node is on its way into the
   * file. Once that is there the file holds more than `base`, and copying may go on.
   */
  progress(peer: NodeId, base: SnapshotBase): boolean {
    const { machine, replica, pins, clock } = this.#options;
    pins.renew(peer, clock.nowMs());
    return !machine.installing && !replica.diverged && machine.checkpointIndex >= base.index;
  }

  /** The last page was read. Returns the last entry that any may show, or undefined as above. */
  end(peer: NodeId, base: SnapshotBase): LogIndex | undefined {
    return this.progress(peer, base) ? this.#options.machine.consistentIndex : undefined;
  }
}
