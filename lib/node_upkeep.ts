/**
 * What a running node does for its own storage: makes checkpoints when they are due, gives up what
 * of the log they hold, and gives and takes snapshots. So disk use and the time of a restart have a
 * bound, however long the node runs.
 */
import { messageOf } from "./base/errors.ts";
import { CHECKPOINT_FRAMES, CHECKPOINT_LOG_BYTES } from "./base/limits.ts";
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import type { Network } from "./io/network.ts";
import type { RaftLog } from "./log/types.ts";
import type { StorageOptions } from "./node_options.ts";
import type { Log } from "./observe/log.ts";
import type { Raft } from "./raft/raft.ts";
import type { LogIndex, NodeId } from "./raft/types.ts";
import { compactLog } from "./replica/compaction.ts";
import { LogPins } from "./replica/log_pins.ts";
import type { Replica } from "./replica/replica.ts";
import { SnapshotSource } from "./replica/snapshot_source.ts";
import { databasePath } from "./replica/database_paths.ts";
import type { SqliteMachine } from "./replica/sqlite_machine.ts";
import type { Backups } from "./session/backups.ts";
import { LongReaders } from "./session/long_readers.ts";
import type { Databases } from "./session/databases.ts";
import type { Maintenance } from "./session/maintenance.ts";
import type { SessionManager } from "./session/session_manager.ts";
import { SnapshotGiver } from "./snapshot/snapshot_giver.ts";
import { SnapshotTaker } from "./snapshot/snapshot_taker.ts";
import type { Channel, ChannelHandler } from "./transport/channel.ts";
import type { Identity } from "./transport/types.ts";

/** How often the node looks whether something is due. */
const POLL_MS = 1_000;
/** Bytes of an entry in the log beside its payload, about. */
const ENTRY_OVERHEAD_BYTES = 96;

/** What upkeep works with. */
export interface UpkeepOptions {
  readonly raft: Raft;
  readonly raftLog: RaftLog;
  readonly machine: SqliteMachine;
  readonly disk: Disk;
  readonly folder: string;
  readonly network: Network;
  readonly clock: Clock;
  readonly identity: Identity;
  /** `HOST:PORT` of a node's cluster port, where it is known. */
  readonly addressOf: (id: NodeId) => string | undefined;
  readonly log: Log;
  readonly storage?: StorageOptions | undefined;
  /** The entry whose successors are kept for the archive. */
  readonly archiveKeepsAfter: () => LogIndex;
  /** Damaged pages were found. */
  readonly onDamage: () => void;
  /** The node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

/** The parts that are made after it. */
export interface UpkeepParts {
  readonly databases: Databases;
  readonly replica: Replica;
  readonly maintenance: Maintenance;
  readonly sessions: SessionManager;
  readonly backups: Backups;
}

/** See the file comment. */
export class NodeUpkeep {
  /** Brings snapshots from other nodes. */
  readonly snapshots: SnapshotTaker;
  readonly #options: UpkeepOptions;
  readonly #pins = new LogPins();
  #giver: SnapshotGiver | undefined;
  #readers: LongReaders | undefined;
  #cancelPoll: () => void = () => {};
  #isStopped = false;
  /** The log grew by so many bytes between the last checkpoint and the entry. */
  #grown: { bytes: number; index: LogIndex } = { bytes: 0, index: 0 };
  /** The checkpoint behind which the log was compacted. */
  #compactedAt: LogIndex = 0;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.snapshots = new SnapshotTaker(options);
  }

  /** Begins. */
  start({ replica, maintenance, sessions, databases, backups }: UpkeepParts): void {
    const { raft, raftLog, machine, disk, folder, clock, log, onFatal } = this.#options;
    const { readerWarnMs, readerEndMs } = this.#options.storage ?? {};
    this.#readers = new LongReaders({
      clock,
      log,
      readers: () => {
        const readers = [...sessions.readers(), ...backups.readers()];
        return readers.filter(({ databaseId }) => maintenance.heldWals.has(databaseId));
      },
      walFrames: (databaseId) => machine.walFrames(databaseId),
      warnMs: readerWarnMs,
      endMs: readerEndMs,
    });
    const pins = this.#pins;
    this.#giver = new SnapshotGiver({
      source: new SnapshotSource({ raft, log: raftLog, machine, replica, pins, clock }),
      disk,
      pathOf: (id) => databasePath(folder, id),
      isOpen: (id) => machine.isOpen(id),
      databases: () => machine.catalog,
      clock,
      log,
      isMember: (id) => raft.status().configuration.members.some((member) => member.id === id),
      check: (id, first, pages, damaged) => {
        const page = machine.checkPages(id, first, pages, damaged);
        if (page !== undefined && damaged) this.#options.onDamage();
        return page;
      },
      checkpoint: () => void this.#checkpoint(maintenance),
      onFatal,
    });
    this.#poll(maintenance, databases);
  }

  /** Serves a node that wants the pages of the database. */
  serve(peer: NodeId, channel: Channel): ChannelHandler | undefined {
    return this.#isStopped ? undefined : this.#giver?.serve(peer, channel);
  }

  /** Begins nothing more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelPoll();
  }

  /** Lets go of the database file, once SQLite did. */
  close(): void {
    this.stop();
    this.#giver?.close();
  }

  #poll(maintenance: Maintenance, databases: Databases): void {
    this.#cancelPoll = this.#options.clock.after(POLL_MS, () => {
      const isDue = this.#isDue(maintenance);
      void (isDue ? this.#checkpoint(maintenance) : Promise.resolve()).then(async () => {
        if (this.#isStopped) return;
        if (isDue && maintenance.heldWals.size > 0) this.#readers?.look();
        this.#compact();
        await databases.closeRested();
        if (!this.#isStopped) this.#poll(maintenance, databases);
      });
    });
  }

  #isDue({ isUnfinished }: Maintenance): boolean {
    const { machine, storage } = this.#options;
    const { checkpointFrames = CHECKPOINT_FRAMES, checkpointLogBytes = CHECKPOINT_LOG_BYTES } =
      storage ?? {};
    // One that was begun and not completed is made good, even if little is left to copy.
    if (isUnfinished || machine.hasGone) return true;
    const isLong = (id: number) => machine.uncopiedFrames(id) >= checkpointFrames;
    return machine.dirtyIds().some(isLong) || this.#logGrowth() >= checkpointLogBytes;
  }

  /** Bytes that the log grew by since the last checkpoint. */
  #logGrowth(): number {
    const { machine, raftLog } = this.#options;
    const from = Math.max(machine.checkpointIndex, raftLog.baseIndex);
    const last = raftLog.durableIndex;
    const grown = this.#grown;
    // A checkpoint was made, or the log was cut.
    if (grown.index < from || grown.index > last) this.#grown = { bytes: 0, index: from };
    while (this.#grown.index < last) {
      this.#grown.index++;
      this.#grown.bytes += raftLog.bodySizeBytes(this.#grown.index) + ENTRY_OVERHEAD_BYTES;
    }
    return this.#grown.bytes;
  }

  async #checkpoint(maintenance: Maintenance): Promise<void> {
    const { log } = this.#options;
    try {
      const { index, walFrames, pausedMs, durationMs } = await maintenance.checkpoint();
      this.#grown = { bytes: 0, index };
      log.debug("checkpoint", {
        index,
        walFrames,
        pausedMs: Math.round(pausedMs),
        durationMs: Math.round(durationMs),
      });
    } catch (error) {
      log.debug("checkpoint put off", { reason: messageOf(error) });
    }
  }

  /** Gives up what of the log the last checkpoint holds, and nobody is about to need. */
  #compact(): void {
    const { raft, raftLog, machine, clock, log, storage, onFatal } = this.#options;
    const { checkpointIndex } = machine;
    const lowest = Math.min(this.#pins.lowest(clock.nowMs()), this.#options.archiveKeepsAfter());
    const isPinned = lowest < checkpointIndex;
    if (checkpointIndex === this.#compactedAt) return;
    // What is kept for another node goes later.
    if (!isPinned) this.#compactedAt = checkpointIndex;
    const trailing = storage?.trailing;
    const kept = { raft, log: raftLog, machine, pins: { lowest: () => lowest }, clock };
    try {
      if (!compactLog(trailing === undefined ? kept : { ...kept, trailing })) return;
      log.debug("compacted the log", { firstIndex: raftLog.firstIndex });
    } catch (error) {
      onFatal(error instanceof Error ? error : new Error(messageOf(error)));
    }
  }
}
