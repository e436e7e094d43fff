/** The archive of a node: where it is, and what keeps it up to date. */
import { type ArchivePace, Archiver, type ArchiveStatus } from "./archive/archiver.ts";
import { Catalog } from "./archive/catalog.ts";
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import type { ObjectStore } from "./io/object_store.ts";
import { openObjectStore } from "./io/object_store_open.ts";
import type { RaftLog } from "./log/types.ts";
import type { Log } from "./observe/log.ts";
import type { LogIndex } from "./raft/types.ts";
import type { Replica } from "./replica/replica.ts";
import { databasePath } from "./replica/database_paths.ts";
import type { SqliteMachine } from "./replica/sqlite_machine.ts";
import type { Maintenance } from "./session/maintenance.ts";
import { PageFile } from "./snapshot/page_file.ts";

/** Where a node archives to. */
export interface NodeArchiveOptions {
  /** A folder, or `s3://BUCKET/PREFIX`; credentials are in the environment, as AWS names them. */
  readonly where: string;
  /** The environment, where it is not that of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds for which points are kept; for good by default. */
  readonly keepMs?: number;
  readonly pace?: ArchivePace;
}

/** The parts of the node that it works with. */
export interface NodeArchiveParts {
  readonly clusterId: string;
  readonly raftLog: RaftLog;
  readonly machine: SqliteMachine;
  readonly replica: Replica;
  readonly maintenance: Maintenance;
  readonly disk: Disk;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly onFatal: (error: Error) => void;
}

/** See the file comment. */
export class NodeArchive {
  readonly #store: ObjectStore;
  readonly #pace: ArchivePace | undefined;
  readonly #keepMs: number | undefined;
  #archiver: Archiver | undefined;
  /** Opened once, and closed after SQLite closed it, or SQLite's locks on it would be lost. */
  #file: PageFile | undefined;

  /** @throws {DatabaseError} `CONFIG` when it is no place for an archive. */
  constructor({ where, env, keepMs, pace }: NodeArchiveOptions) {
    this.#store = env === undefined ? openObjectStore(where) : openObjectStore(where, env);
    this.#pace = pace;
    this.#keepMs = keepMs;
  }

  /** Begins. */
  start(parts: NodeArchiveParts): void {
    const { clusterId, disk, folder, maintenance, ...others } = parts;
    this.#archiver = new Archiver({
      ...others,
      catalog: new Catalog(this.#store, clusterId),
      file: () => this.#file ??= PageFile.read(disk, databasePath(folder)),
      checkpoint: () => maintenance.checkpoint(),
      pace: this.#pace,
      keepMs: this.#keepMs,
    });
    this.#archiver.start();
  }

  /** The entry whose successors the log is to keep; infinite when it need keep none. */
  keepAfter(): LogIndex {
    return this.#archiver?.keepAfter() ?? 0;
  }

  /** How far the archive is; undefined before the start. */
  get status(): ArchiveStatus | undefined {
    return this.#archiver?.status;
  }

  /** Puts there what is committed, if that is soon done, and ends. */
  async stop(): Promise<void> {
    await this.#archiver?.stop();
  }

  /** Lets go of the database file, once SQLite did. */
  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
