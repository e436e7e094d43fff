/**
 * Every error a user can meet, by code. Each answers three questions: what was refused and why
 * (`code`, `message`), did my write happen (`outcome`), and what now (`hint`, `leader`).
 */

/**
 * What is known about the write that an error answers.
 *
 * - `rejected`: it did not happen and will not happen; it is safe to send it again.
 * - `unknown`: it may have happened, or may still happen.
 */
export type Outcome = "rejected" | "unknown";

/** The closed list of codes. `SQLITE_*` codes come from the database engine, by base code. */
export const ERROR_CODES = {
  /** This node does not lead; nothing was attempted. */
  NOT_LEADER: "rejected",
  /** Leadership was lost between the write and its commit on a quorum. */
  LEADERSHIP_LOST: "unknown",
  /** No leader is known, or it does not answer, within the time allowed. */
  NO_LEADER: "rejected",
  /** The node, or the leader it waited for, stops. */
  SHUTTING_DOWN: "rejected",
  /** A bounded queue is full. */
  BUSY: "rejected",
  /** The write lock was not free within the time allowed. */
  TRANSACTION_BUSY: "rejected",
  /** An open transaction was rolled back since it was idle for too long, or held others up. */
  TRANSACTION_TIMEOUT: "rejected",
  /** An open transaction ended since its node no longer leads. */
  TRANSACTION_LOST: "rejected",
  /** The stream (session) is gone: it expired, or its node restarted. */
  STREAM_EXPIRED: "rejected",
  /** A baton that this node never handed out, or that was used already. */
  BATON_INVALID: "rejected",
  /** The request is not of the protocol's form. */
  PROTOCOL: "rejected",
  /** A body, statement, result or message above its limit. */
  TOO_LARGE: "rejected",
  /** More rows or bytes than one response may carry. */
  RESPONSE_TOO_LARGE: "rejected",
  /** Nothing to run: an empty statement, or only a comment. */
  SQL_NO_STATEMENT: "rejected",
  /** Several statements where one is asked for. */
  SQL_MANY_STATEMENTS: "rejected",
  /** Unknown id of a stored SQL text. */
  SQL_STORE_UNKNOWN: "rejected",
  /** More stored SQL texts than a stream may hold. */
  SQL_STORE_TOO_MANY: "rejected",
  /** The statement cannot be parsed. */
  SQL_PARSE_ERROR: "rejected",
  /** Arguments that do not fit the statement's parameters. */
  ARGS_INVALID: "rejected",
  /** Positional and named arguments at once. */
  ARGS_BOTH_POSITIONAL_AND_NAMED: "rejected",
  /** A name that no database can have. */
  DATABASE_NAME: "rejected",
  /** There is no database of that name, or it was dropped. */
  DATABASE_UNKNOWN: "rejected",
  /** A statement that replication forbids, such as ATTACH of a file. */
  BLOCKED: "rejected",
  /** An option, flag or setting that is not valid. */
  CONFIG: "rejected",
  /** A data folder that cannot be used: locked, read-only, foreign, or of a newer format. */
  DATA_FOLDER: "rejected",
  /** A file of the node is damaged; the message names the file and the offset. */
  CORRUPT: "rejected",
  /** The disk refused a write or a sync. */
  DISK: "unknown",
  /** The leader's disk is full: writes are refused until there is space again; reads go on. */
  DISK_FULL: "rejected",
  /** The network address is taken or cannot be bound. */
  ADDRESS: "rejected",
  /** The peer belongs to another cluster, or speaks another version. */
  HANDSHAKE: "rejected",
  /** A restore into a database that holds something, and that was not told to replace it. */
  NOT_EMPTY: "rejected",
  /** A restore that this node knows nothing of: it was given up, or begun at another leader. */
  RESTORE_UNKNOWN: "rejected",
  /** A change of the membership that is not allowed now. */
  MEMBERSHIP: "rejected",
  /** The node was removed from its cluster, for good: it stops. */
  REMOVED: "rejected",
  /** The connection broke before the answer arrived. */
  CONNECTION_LOST: "unknown",
  /** The transaction, client or node was closed already. */
  CLOSED: "rejected",
  /** A fault of the node itself; its log has the reason. */
  INTERNAL: "unknown",
  /** The database engine refused the statement; `sqliteCode` has the extended result code. */
  SQLITE: "rejected",
} as const satisfies Record<string, Outcome>;

/** A code of {@linkcode ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** What an error may tell beside its message. */
export interface ErrorDetails {
  /** The outcome, where it differs from the usual one of the code. */
  readonly outcome?: Outcome;
  /** What the caller can do now. */
  readonly hint?: string;
  /** The HTTP address of the leader, where it is known. */
  readonly leader?: string;
  /** The name of SQLite's base result code, such as `SQLITE_CONSTRAINT`. */
  readonly sqliteName?: string;
  /** SQLite's extended result code. */
  readonly sqliteCode?: number;
  /** Where in the SQL text the error is, in UTF-16 code units. */
  readonly sqlOffset?: number;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** An error with a code from a closed list and the fate of the write it answers. */
export class DatabaseError extends Error {
  override readonly name: string = "DatabaseError";
  readonly code: ErrorCode;
  /** Whether the write that this error answers may still take effect. */
  readonly outcome: Outcome;
  readonly hint: string | undefined;
  readonly leader: string | undefined;
  readonly sqliteName: string | undefined;
  readonly sqliteCode: number | undefined;
  readonly sqlOffset: number | undefined;

  /**
   * @param code One of {@linkcode ERROR_CODES}.
   * @param message What was refused, the rule, and the value that broke it.
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.outcome = details.outcome ?? ERROR_CODES[code];
    this.hint = details.hint;
    this.leader = details.leader;
    this.sqliteName = details.sqliteName;
    this.sqliteCode = details.sqliteCode;
    this.sqlOffset = details.sqlOffset;
  }

  /** The code as it goes over the wire: SQLite's own name for an error of the engine. */
  get wireCode(): string {
    return this.code === "SQLITE" ? (this.sqliteName ?? "SQLITE_ERROR") : this.code;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
