import type {
  Configuration,
  Entry,
  HardState,
  LogIndex,
  SnapshotBase,
  Term,
} from "../raft/types.ts";

/** What is written together, in this order: hard state, reset, truncation, entries, recovered. */
export interface LogBatch {
  readonly hardState: HardState | undefined;
  /** All entries are forgotten; the log goes on after this one, which it does not hold. */
  readonly reset?: LogBase | undefined;
  /** Entries from here on are forgotten before `entries` are added. */
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
  /** With this the log holds again everything that this node ever acknowledged. */
  readonly recovered?: boolean;
}

/** An entry, as a log that begins after it has to know it. */
export type LogBase = Omit<SnapshotBase, "knownInTerm">;

/** Whether the disk has space for the next segment. */
export type LogSpace = "ok" | "low";

/**
 * Raft's durable state: term, vote and entries, in one ordered stream of writes. What was handed to
 * `append` can be read back at once; it is durable when its callback came.
 */
export interface RaftLog {
  /** Index of the first entry that is kept; 1 in a new log. */
  readonly firstIndex: LogIndex;
  /** What comes before the first entry: index and term 0, and nobody, in a log that is whole. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  readonly baseConfiguration: Configuration;
  /** Index of the last entry, durable or not; `firstIndex - 1` when there is none. */
  readonly lastIndex: LogIndex;
  /** Index up to which everything is durable; never more than the base until a reset is. */
  readonly durableIndex: LogIndex;
  /** Term and vote as last appended. */
  readonly hardState: HardState;
  /**
   * Whether the log was cut at damage, so that entries may be missing that this node acknowledged;
   * until a batch with {@linkcode LogBatch.recovered} is appended.
   */
  readonly recovering: boolean;
  /**
   * `low` while the disk is full: what is left of the present segment still takes entries, and its
   * end term and vote.
   */
  readonly space: LogSpace;
  /**
   * Whether `count` more entries with `payloadBytes` in total can be written now. Those that cannot
   * should not be appended: term and vote would wait behind them until there is space.
   */
  hasRoomFor(count: number, payloadBytes: number): boolean;
  /** The term of the entry at `index`; undefined when it is not kept. */
  termAt(index: LogIndex): Term | undefined;
  /** Bytes of the payload of the entry at `index`, or of its configuration. It must be kept. */
  bodySizeBytes(index: LogIndex): number;
  /** The entry at `index`, or what comes before the first one; undefined when it is neither. */
  baseAt(index: LogIndex): LogBase | undefined;
  /**
   * Adds a batch. Batches that arrive while a write is under way share the next one. `done` is
   * called in order, once this batch and all before it are durable, never before this returns.
   */
  append(batch: LogBatch, done: () => void): void;
  /**
   * The entries `[first, last]`, or fewer when their payloads exceed `bytesMax` (at least one), or
   * undefined when some are not kept. Entries that are not in memory are read from disk and
   * verified.
   *
   * @throws {DatabaseError} `CORRUPT` when a checksum does not match.
   */
  entries(first: LogIndex, last: LogIndex, bytesMax: number): readonly Entry[] | undefined;
  /** The last entry that {@linkcode truncatePrefix} forgets when it is given `index`. */
  prefixEnd(index: LogIndex): LogIndex;
  /**
   * Forgets entries up to `index`, or fewer: whole segments go, so that `firstIndex` moves to the
   * first entry of one. They must be committed, applied and durable. Files go later, once what
   * comes before the first entry is durable; a crash before that brings the entries back.
   * Does nothing while a reset waits to be written.
   */
  truncatePrefix(index: LogIndex): void;
  /**
   * Stops accepting batches and closes the files once what was accepted is durable. What waits for
   * space on a full disk is given up, and was never acknowledged.
   */
  close(done: () => void): void;
}
