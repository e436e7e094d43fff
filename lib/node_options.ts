import type { TargetRole } from "./cluster/membership.ts";
import type { NodeArchiveOptions } from "./node_archive.ts";
import type { Log } from "./observe/log.ts";
import type { Trailing } from "./replica/compaction.ts";

/** How much disk a node takes beside its database; the defaults are in `base/limits.ts`. */
export interface StorageOptions {
  /** Frames in the WAL above which a checkpoint is due. */
  readonly checkpointFrames?: number;
  /** Bytes of the log since the last checkpoint above which one is due. */
  readonly checkpointLogBytes?: number;
  /** Time after which a reader that keeps the WAL from being copied is told of in the log. */
  readonly readerWarnMs?: number;
  /** Time after which it is ended. */
  readonly readerEndMs?: number;
  /** What stays of the log behind a checkpoint, for nodes that were away for a while. */
  readonly trailing?: Trailing;
}

/** How a node runs. */
export interface NodeOptions {
  /** The folder for its data; made when missing. */
  readonly dir: string;
  /** HOST:PORT of the cluster port; port 0 takes a free one. @default {"127.0.0.1:9001"} */
  readonly listen?: string;
  /** HOST:PORT of the HTTP port; port 0 takes a free one. @default {"127.0.0.1:8080"} */
  readonly http?: string;
  /** Cluster ports of nodes to join; empty to found a cluster. */
  readonly join?: readonly string[];
  /** A SQLite file that a new cluster begins with; not for a node that is part of one already. */
  readonly from?: string;
  /**
   * What the node becomes when it joins; later it is what the cluster makes it.
   *
   * @default {"voter"}
   */
  readonly role?: TargetRole;
  /** HOST:PORT that other nodes reach the cluster port by; `listen` by default. */
  readonly advertise?: string;
  /** URL that clients reach the HTTP port by; that of `http` by default. */
  readonly advertiseHttp?: string;
  readonly storage?: StorageOptions;
  /** Where what is committed is archived, to restore any point in time; nowhere by default. */
  readonly archive?: NodeArchiveOptions;
  /**
   * Bytes of pages that one transaction may change while this node leads.
   *
   * @default {4 GiB}
   */
  readonly transactionBytesMax?: number;
  /** Where log lines go; nowhere by default. */
  readonly log?: Log;
  /**
   * Told when the node cannot go on, such as after an error of its disk. It answers no more. With
   * the code `REMOVED` nothing is broken: the node was removed from its cluster, and is to be
   * stopped.
   */
  readonly onFatal?: (error: Error) => void;
}
