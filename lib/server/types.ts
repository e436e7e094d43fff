/** What the HTTP server asks of the node behind it. */
import type { ArchiveStatus } from "../archive/archiver.ts";
import type { MemberRole, NodeId } from "../raft/types.ts";
import type { Backup } from "../session/backups.ts";
import type { Restores } from "../session/restores.ts";
import type { Sessions } from "../session/types.ts";
import type { Clock } from "../io/clock.ts";
import type { HttpClient } from "../io/http.ts";

/** Which node leads, as this node knows it. */
export interface Leadership {
  /** The HTTP URL of the leader; undefined when none is known, or when it is this node. */
  leaderUrl(): string | undefined;
  /**
   * Waits until a leader is known, this node or another.
   *
   * @param deadlineMs On the clock of the server, as `Clock.nowMs`.
   * @returns False when the deadline passed first.
   */
  waitForLeader(deadlineMs: number): Promise<boolean>;
}

/** One machine in {@linkcode ClusterStatus}. */
export interface MemberStatus {
  readonly id: NodeId;
  readonly address: string;
  readonly httpUrl: string;
  /** A learner becomes a voter once it has caught up. */
  readonly role: MemberRole;
  readonly leader: boolean;
  /** Whether the leader heard from it lately; only the leader knows. */
  readonly active?: boolean;
  /** The last entry that it is known to hold; only the leader knows. */
  readonly matchIndex?: number;
  /** Its log was cut at damage: what it holds does not count yet; only the leader knows. */
  readonly recovering?: boolean;
}

/** What a scrub of the database file and the log found. */
export interface ScrubRound {
  readonly verifiedPages: number;
  /** Pages of which it was not known what they should hold. */
  readonly learntPages: number;
  /** Pages whose newest version is not in the file yet. */
  readonly skippedPages: number;
  readonly damagedPages: number;
  /** Entries of the log that were read. */
  readonly entries: number;
  /** The first entries that are damaged. */
  readonly damagedEntries: readonly number[];
  readonly elapsedMs: number;
}

/** Whether this node's files hold what they should. */
export interface IntegrityStatus {
  /** The last entry after which this node was found to hold the same pages as the leader. */
  readonly verifiedIndex: number;
  /** Pages of which it is not known yet what they should hold. */
  readonly unknownPages: number;
  /** Pages of the database file that are known to be damaged, and not repaired yet. */
  readonly damagedPages: number;
  /** Pages that were fetched from other nodes since the start. */
  readonly repairedPages: number;
  /** Whether this node holds other pages than the cluster. */
  readonly diverged: boolean;
  /** The last time that it did and took the pages of the others; null when it never had to. */
  readonly healing: HealingStatus | null;
  readonly scrub: {
    /** Rounds that are complete since the start. */
    readonly rounds: number;
    /** The page that the present round comes to next; 0 when it is done with them. */
    readonly page: number;
    readonly lastRound: ScrubRound | null;
  };
}

/** How a node whose database differed comes by the right one. */
export interface HealingStatus {
  /** The entry after which it was found to differ. */
  readonly index: number;
  readonly done: boolean;
  /** Pages that differed, and were fetched, since this start of the node. */
  readonly fetchedPages: number;
}

/** The cluster, as this node sees it; the body of `GET /cluster`. */
export interface ClusterStatus {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly version: string;
  readonly role: "leader" | "follower" | "candidate" | "learner" | "standby" | "spare";
  readonly term: number;
  readonly leader:
    | { readonly id: NodeId; readonly address: string; readonly httpUrl: string }
    | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** The log was cut at damage, and the leader has not sent yet all that is missing. */
  readonly recovering: boolean;
  readonly lastIndex: number;
  readonly members: readonly MemberStatus[];
  readonly integrity: IntegrityStatus;
  /** Null on a node without an archive. */
  readonly archive: ArchiveStatus | null;
}

/** Whether a node can serve. */
export interface Readiness {
  readonly leaderKnown: boolean;
  /** The last entry that this node applied. */
  readonly appliedIndex: number;
  /** The entry it must have applied before it serves, since it did so before it last stopped. */
  readonly requiredIndex: number;
}

/** The content of this node's database at an index: equal on every node that is at that index. */
export interface DatabaseDigest {
  readonly index: number;
  /** SHA-256 over all pages, in hexadecimal. */
  readonly sha256: string;
  readonly pages: number;
}

/** A database beside others. */
export interface DatabaseSummary {
  readonly name: string;
  readonly id: number;
}

/** What a checkpoint did. */
export interface CheckpointReport {
  /** The last entry whose pages are in the database file. */
  readonly index: number;
}

/** The node, as operators see it. */
export interface Operations {
  clusterStatus(): ClusterStatus;
  readiness(): Readiness;
  /** @throws {DatabaseError} NOT_LEADER; MEMBERSHIP when it is not allowed now. */
  remove(id: NodeId): Promise<void>;
  /**
   * Gives a member another role.
   *
   * @returns The role it has now: still `learner` while one that is to be a voter catches up.
   * @throws {DatabaseError} NOT_LEADER; MEMBERSHIP when it is not allowed now.
   */
  assign(id: NodeId, role: Exclude<MemberRole, "learner">): Promise<MemberRole>;
  /**
   * Hands leadership over.
   *
   * @param id To whom; undefined for the voter that is furthest ahead.
   * @throws {DatabaseError} NOT_LEADER; MEMBERSHIP when that node cannot lead.
   */
  transfer(id: NodeId | undefined): Promise<void>;
  /** All databases. @throws {DatabaseError} `NO_LEADER` when nobody confirms that these are all. */
  databases(): Promise<DatabaseSummary[]>;
  /**
   * Makes a database, unless there is one of that name.
   *
   * @throws {DatabaseError} `NOT_LEADER`; `DATABASE_NAME`; `TOO_LARGE` when there are too many.
   */
  createDatabase(name: string): Promise<DatabaseSummary>;
  /** @throws {DatabaseError} `NOT_LEADER`, `DATABASE_UNKNOWN`, `DATABASE_NAME` for the first. */
  dropDatabase(name: string): Promise<void>;
  /** Brings the database files of this node up to date. */
  checkpoint(): Promise<CheckpointReport>;
  /**
   * Reads a database of this node.
   *
   * @param database Its name; undefined for the first one.
   * @throws {DatabaseError} `DATABASE_UNKNOWN` when this node has none of that name.
   */
  digest(database: string | undefined): Promise<DatabaseDigest>;
  /**
   * Begins a backup of a database of this node.
   *
   * @param database Its name; undefined for the first one.
   * @param options.stale Whether it may lack what this node did not hear of yet.
   * @throws {DatabaseError} `BUSY`, `NO_LEADER`, `DATABASE_UNKNOWN`, `NOT_LEADER` on a node that
   * holds no data.
   */
  backup(database: string | undefined, options: { readonly stale: boolean }): Promise<Backup>;
  /** Files that are to replace the database. @throws {DatabaseError} before the node has joined. */
  restores(): Pick<Restores, "begin" | "part" | "commit" | "abort">;
  /** Verifies the files of this node. */
  scrub(): Promise<ScrubRound>;
}

/** What a server is made of. */
export interface ServerOptions {
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly nodeId: NodeId;
  readonly version: string;
  readonly sessions: Sessions;
  readonly operations: Operations;
  readonly leadership: Leadership;
  /** For requests that this node passes on to the leader. The server does not close it. */
  readonly client: HttpClient;
  readonly clock: Clock;
  /**
   * Origins of web pages that may use this server, such as `https://app.example`, or `*`. Pages of
   * the server itself always may; without this, no other page can, not even blindly.
   */
  readonly allowedOrigins?: readonly string[];
  /** Requests with a body that may be under way; `HTTP_REQUESTS_MAX` unless told. */
  readonly requestsMax?: number;
  /** Told of faults of the node's own code; the client got a reply of status 500. */
  readonly onFailure: (error: unknown) => void;
}
