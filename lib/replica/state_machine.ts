/**
 * What the replica drives: the databases of this node, seen as a machine that applies commands and,
 * on the leader, yields the commands that local transactions make.
 */
import type { LogIndex, SnapshotBase } from "../raft/types.ts";
import type { DatabaseList } from "../wire/database_list.ts";

/** A part of what local transactions captured, ready to be proposed. */
export interface Captured {
  readonly databaseId: number;
  readonly payload: Uint8Array;
  /** Whether this part ends its batch. */
  readonly complete: boolean;
  /** Number of the last transaction of its database in the batch. */
  readonly seq: number;
}

/** The last committed transaction of a database; undefined when none was proposed. */
export type CommittedSeqs = (databaseId: number) => number | undefined;

/** What a command is to batches in parts. */
export interface BatchPart {
  readonly first: boolean;
  readonly last: boolean;
  /** Whether a batch of another database is open here. */
  readonly interleaved?: boolean;
}

/** Reads the payload of an entry from the log. */
export type EarlierPayload = (index: LogIndex) => Uint8Array | undefined;

/**
 * The states it can be in: *following* (applies, refuses local writes) and *leading* (captures
 * local writes, applies only what creates and drops databases). The transactions of a database are
 * numbered in commit order, for as long as it is open; a number is never reused, also when its
 * transaction is rewound.
 */
export interface StateMachine {
  /** Everything up to here is in the database file; entries from the next one on are applied. */
  readonly checkpointIndex: LogIndex;
  /** Until this index is applied, the files may hold a mixture of states: nothing may be read. */
  readonly consistentIndex: LogIndex;
  /** A snapshot is on its way into the files: there is no database until it is there. */
  readonly installing: boolean;
  /** What the files hold since a snapshot came, until the next checkpoint. */
  readonly installed: SnapshotBase | undefined;
  /**
   * The entry after which the databases were found to differ from those of the others; undefined
   * once a snapshot took their place.
   */
  readonly diverged: LogIndex | undefined;
  /** Says, durably, that the databases are not to be used: they differed after an entry. */
  markDiverged(index: LogIndex): void;
  /**
   * Gives up the database, for a snapshot takes its place: says so, durably, before anything is
   * overwritten. Nobody uses it any more.
   */
  beginInstall(): void;
  /**
   * The snapshot is in the files: makes them durable, then says so, durably, and opens them.
   *
   * @param fuzzyIndex The last entry that any page may show; until it is applied the files may hold
   * a mixture of states.
   * @param databases All that came; undefined for the first one alone.
   */
  completeInstall(base: SnapshotBase, fuzzyIndex: LogIndex, databases?: DatabaseList): void;
  /** Which part of a batch a command is; one that stands alone is first and last. */
  partOf(payload: Uint8Array): BatchPart;
  /**
   * Applies the payload of a committed and durable entry. Entries come in order, each once.
   *
   * @param earlier Reads the payload of an earlier entry, for a batch in parts; undefined when
   * that entry is not a command.
   * @returns False when there is more to do: to be called again with the same entry, soon.
   */
  apply(index: LogIndex, payload: Uint8Array, earlier: EarlierPayload): boolean;
  /** What `apply` was given last cannot be applied before a database is closed. */
  readonly waits?: boolean;
  /** From now on local writes are allowed and captured. */
  lead(): void;
  /** At once refuses local writes and forgets what was captured but not drained. */
  follow(): void;
  /** Local transactions of a database were captured: `drain` is to look there. Leading only. */
  captured(databaseId: number): void;
  /** The next part of what was captured; undefined when there is none. Leading only. */
  drain(): Captured | undefined;
  /**
   * Every transaction of a database up to this one is committed and durable, and may be
   * checkpointed.
   *
   * @param index An entry up to which that is so.
   */
  release(databaseId: number, seq: number, index: LogIndex): void;
  /**
   * Forgets every transaction after the last committed ones, which are durable.
   *
   * @returns False when a reader or writer is in the way; to be tried again.
   */
  rewind(committed: CommittedSeqs): boolean;
  /** Number of the last captured transaction of a database; 0 when it is not open. */
  lastSeq(databaseId: number): number;
  /** As {@linkcode lastSeq}, of the last one that was released, or applied. */
  releasedSeq(databaseId: number): number;
}
