import type { Clock } from "../io/clock.ts";
import type { LogSpace, RaftLog } from "../log/types.ts";
import type { Raft } from "../raft/raft.ts";
import type { Message, NodeId } from "../raft/types.ts";
import type { SnapshotEdge } from "./snapshot_install.ts";
import type { StateMachine } from "./state_machine.ts";

/** What the replica tells the layers above it. */
export interface ReplicaEvents {
  /** Local writes may start. */
  onLeading(): void;
  /**
   * Leadership ended, or a snapshot is to replace the database. Every session must let go of its
   * statements and connections; `quiet` is to be called once none holds any.
   */
  onRetiring(quiet: () => void): void;
  /** There is room for writes again, after `writable` was false. */
  onWritable(): void;
  /** Role, term, leader or configuration changed. */
  onChange(): void;
  /** There is no space, or again some, to apply what is committed; nothing is lost meanwhile. */
  onApplySpace?(space: LogSpace): void;
  /** The database, which differed from those of the others, was replaced by what they hold. */
  onHealed?(): void;
  /** The node cannot go on. */
  onFatal(error: Error): void;
}

/** The part of the transport that the loop needs. */
export interface MessageSender {
  send(to: NodeId, message: Message): void;
  /** Hands what was queued to the network now. */
  flush(): void;
}

/** What a replica is made of. */
export interface ReplicaOptions {
  readonly raft: Raft;
  readonly log: RaftLog;
  readonly sender: MessageSender;
  readonly machine: StateMachine;
  readonly clock: Clock;
  /** Length of one tick of the core. */
  readonly tickMs: number;
  readonly events: ReplicaEvents;
  /** Brings snapshots from other nodes; without it this node takes none. */
  readonly snapshots?: SnapshotEdge | undefined;
}
