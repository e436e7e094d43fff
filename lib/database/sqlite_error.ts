/** SQLite's result codes as errors; the only place where one becomes the other. */
import { DatabaseError } from "../base/errors.ts";

export const SQLITE_OK = 0;
export const SQLITE_BUSY = 5;
export const SQLITE_LOCKED = 6;
export const SQLITE_NOTFOUND = 12;
/** The node does not lead: nothing was written. */
export const SQLITE_IOERR_NOT_LEADER = 10 | (40 << 8);
/** Leadership was lost after the transaction was written locally. */
export const SQLITE_IOERR_LEADERSHIP_LOST = 10 | (41 << 8);
/** The transaction grew beyond what one may change, or beyond what the disk can take. */
const SQLITE_IOERR_TRANSACTION_TOOBIG = 10 | (42 << 8);
const SQLITE_IOERR_TRANSACTION_NOSPACE = 10 | (43 << 8);

const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
/** What was read from the database file is not what it should hold. */
const SQLITE_IOERR_DATA = 10 | (32 << 8);

const SQLITE_AUTH = 23;
/** How SQLite reports a function that the authorizer refused: as a plain error of the parser. */
const FUNCTION_REFUSED = "not authorized to use function: ";

/** Names of the base result codes, by number. */
const NAMES: readonly string[] = [
  "SQLITE_OK",
  "SQLITE_ERROR",
  "SQLITE_INTERNAL",
  "SQLITE_PERM",
  "SQLITE_ABORT",
  "SQLITE_BUSY",
  "SQLITE_LOCKED",
  "SQLITE_NOMEM",
  "SQLITE_READONLY",
  "SQLITE_INTERRUPT",
  "SQLITE_IOERR",
  "SQLITE_CORRUPT",
  "SQLITE_NOTFOUND",
  "SQLITE_FULL",
  "SQLITE_CANTOPEN",
  "SQLITE_PROTOCOL",
  "SQLITE_EMPTY",
  "SQLITE_SCHEMA",
  "SQLITE_TOOBIG",
  "SQLITE_CONSTRAINT",
  "SQLITE_MISMATCH",
  "SQLITE_MISUSE",
  "SQLITE_NOLFS",
  "SQLITE_AUTH",
  "SQLITE_FORMAT",
  "SQLITE_RANGE",
  "SQLITE_NOTADB",
  "SQLITE_NOTICE",
  "SQLITE_WARNING",
];

/** What failed, by the second byte of an extended `SQLITE_IOERR`. */
const IO_FAILURES: ReadonlyMap<number, string> = new Map([
  [1, "READ"],
  [2, "SHORT_READ"],
  [3, "WRITE"],
  [4, "FSYNC"],
  [6, "TRUNCATE"],
  [7, "FSTAT"],
  [19, "SHMSIZE"],
  [21, "SHMMAP"],
  [33, "CORRUPTFS"],
]);

/** Whether SQLite found no space on the disk. */
export function isSqliteFull(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqliteCode === SQLITE_FULL;
}

/** The name of a result code, as exact as it is for a failure of the disk. */
export function resultName(code: number): string {
  const failure = (code & 0xff) === SQLITE_IOERR ? IO_FAILURES.get(code >> 8) : undefined;
  return failure !== undefined ? `SQLITE_IOERR_${failure}` : sqliteName(code);
}

/** The name of the base code of a result code, such as `SQLITE_CONSTRAINT` for 2067. */
export function sqliteName(code: number): string {
  return NAMES[code & 0xff] ?? "SQLITE_ERROR";
}

/**
 * The error for a failed call.
 *
 * @param code The extended result code.
 * @param message SQLite's own text, such as `UNIQUE constraint failed: t.a`.
 * @param sqlOffset Where in the SQL text the error is, in UTF-16 code units.
 */
export function sqliteError(code: number, message: string, sqlOffset?: number): DatabaseError {
  const details = {
    sqliteName: sqliteName(code),
    sqliteCode: code,
    ...(sqlOffset === undefined ? {} : { sqlOffset }),
  };
  if (code === SQLITE_IOERR_NOT_LEADER) {
    return new DatabaseError("NOT_LEADER", "This node is not the leader", details);
  }
  if (code === SQLITE_IOERR_LEADERSHIP_LOST) {
    return new DatabaseError(
      "LEADERSHIP_LOST",
      "Leadership was lost before the write was committed; it may or may not take effect",
      details,
    );
  }
  if (code === SQLITE_IOERR_TRANSACTION_TOOBIG) {
    return new DatabaseError("TOO_LARGE", "The transaction changes more than one may: undone", {
      ...details,
      hint: "Do the work in several transactions, or start the nodes with a larger " +
        "--transaction-max",
    });
  }
  if (code === SQLITE_IOERR_TRANSACTION_NOSPACE) {
    return new DatabaseError(
      "DISK_FULL",
      "The transaction is larger than the disk of the leader can take: undone",
      { ...details, hint: "Free space on its disk, or do the work in several transactions" },
    );
  }
  if (code === SQLITE_IOERR_DATA) {
    return new DatabaseError(
      "CORRUPT",
      "A page in this node's database file is damaged; nothing was done",
      {
        ...details,
        hint: "The node fetches such a page from another node: try again in a moment. " +
          "Its log tells which page it is",
      },
    );
  }
  if ((code & 0xff) === SQLITE_AUTH || message.startsWith(FUNCTION_REFUSED)) {
    return new DatabaseError("BLOCKED", `The statement is not allowed here: ${message}`, {
      ...details,
      hint:
        "ATTACH of a file, VACUUM INTO, load_extension() and PRAGMAs that govern the journal, " +
        "the page size or checkpoints would break replication",
    });
  }
  return new DatabaseError("SQLITE", message, details);
}
