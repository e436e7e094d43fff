/** One prepared statement. */
import type { Library, Pointer } from "../../ffi/library.ts";
import { ByteReader } from "../base/bytes.ts";
import { DatabaseError } from "../base/errors.ts";
import { RESPONSE_BYTES_MAX } from "../base/limits.ts";
import { encodeColumns } from "../wire/hrana/encode.ts";
import type { Json } from "../wire/hrana/types.ts";
import { type Arguments, encodeArguments, type Parameters } from "./arguments.ts";
import { Cursor, type CursorOwner, readAll, ROW_FORM, type RowForm } from "./cursor.ts";
import { hranaRows, hranaRowsOf, NO_HRANA_ROWS } from "./hrana_rows.ts";
import { FIELD, type Scratch } from "./scratch.ts";
import { decodeText, type RowBatch, Rows } from "./values.ts";

/** A column of a result. */
export interface Column {
  readonly name: string;
  /** The type as declared in the table; undefined for an expression. */
  readonly declaredType: string | undefined;
}

/** What a statement did. */
export interface RunResult {
  /** Empty when the statement yields no rows by nature. */
  readonly columns: readonly Column[];
  readonly rows: Rows;
  /** Rows that the statement itself inserted, updated or deleted; triggers do not count. */
  readonly changes: number;
  /** The rowid of the last row that this connection inserted. */
  readonly lastInsertRowid: bigint;
  /**
   * Sequence number in the capture of the leader's transactions: everything that the statement saw
   * or did carries this number or a lower one.
   */
  readonly seq: number;
}

/** What a statement did, its columns and rows in the JSON of Hrana; see `hrana_rows.ts`. */
export interface JsonResult extends Omit<RunResult, "columns" | "rows"> {
  readonly colsJson: string;
  readonly rowsJson: Json;
}

/** What the connection lends to its statements. */
export interface StatementOwner extends CursorOwner {
  /** Called once, when a statement was closed. */
  forget(statement: Statement): void;
}

/** How a statement is run. */
export interface RunOptions {
  /** Bound of the encoded rows in bytes; {@linkcode RESPONSE_BYTES_MAX} by default. */
  readonly bytesMax?: number;
}

const NO_ARGUMENTS: Arguments = [];
const NO_BATCHES: readonly RowBatch[] = [];
const NO_STRING = 0xffff_ffff;

/** What the library tells of a statement before it runs. */
export interface Description {
  readonly columns: readonly Column[];
  readonly parameters: Parameters;
  readonly isReadonly: boolean;
  readonly explain: number;
}

/**
 * Reads the description that the library just left in the output buffer, or fetches it again when
 * it was larger than the buffer.
 */
export function takeDescription(
  library: Library,
  scratch: Scratch,
  handle: Pointer,
): Description {
  const { result } = scratch;
  let out: Uint8Array = scratch.out;
  if (result[FIELD.needed]! > 0) {
    out = new Uint8Array(result[FIELD.needed]!);
    library.c.dqlite_describe(handle, out, out.length, scratch.resultBytes);
  }
  const reader = new ByteReader(out.subarray(0, result[FIELD.bytes]!));
  const columns: Column[] = [];
  for (let i = 0; i < result[FIELD.columns]!; i++) {
    columns.push({ name: readString(reader) ?? "", declaredType: readString(reader) });
  }
  const parameters: (string | undefined)[] = [];
  for (let i = 0; i < result[FIELD.parameters]!; i++) parameters.push(readString(reader));
  reader.end();
  return {
    columns,
    parameters,
    isReadonly: result[FIELD.readonly] === 1,
    explain: result[FIELD.explain]!,
  };
}

function readString(reader: ByteReader): string | undefined {
  const length = reader.u32();
  return length === NO_STRING ? undefined : decodeText(reader.raw(length));
}

/**
 * A prepared statement of one connection, usable in the thread of that connection. It prepares
 * itself anew when the schema changes.
 */
export class Statement implements Disposable {
  /** The text of this statement alone. */
  readonly sql: string;
  /** Names of the parameters by position, with their prefix; undefined for a bare `?`. */
  readonly parameters: Parameters;
  /** Whether it leaves the database unchanged. `BEGIN` and `COMMIT` count as read-only. */
  readonly isReadonly: boolean;
  /** 1 for `EXPLAIN`, 2 for `EXPLAIN QUERY PLAN`, else 0. */
  readonly explain: number;
  readonly #owner: StatementOwner;
  #handle: Pointer | undefined;
  #columns: readonly Column[];
  #colsJson: string | undefined;
  #prepares = 0;
  #cursor: Cursor | undefined;
  #isRetired = false;

  /** Takes ownership of `handle`. Made by {@linkcode Connection.prepare}. */
  constructor(owner: StatementOwner, handle: Pointer, sql: string, description: Description) {
    this.#owner = owner;
    this.#handle = handle;
    this.sql = sql;
    this.parameters = description.parameters;
    this.isReadonly = description.isReadonly;
    this.explain = description.explain;
    this.#columns = description.columns;
  }

  /** The columns as of the last run, or of the time it was prepared. */
  get columns(): readonly Column[] {
    return this.#columns;
  }

  /** The same as the JSON of Hrana. */
  get colsJson(): string {
    this.#colsJson ??= encodeColumns(this.#columns.map(({ name, declaredType }) => ({
      name,
      decltype: declaredType ?? null,
    })));
    return this.#colsJson;
  }

  /**
   * Whether it consists of operations that each end soon, so that it may run under a budget of them
   * in a thread that must not be held up; see `Connection.setBudget`.
   */
  get isBrief(): boolean {
    const handle = this.#handle;
    return handle !== undefined &&
      this.#owner.library.c.sqlite3_wal_replication_brief(handle) !== 0;
  }

  /** Whether a cursor of it is open. */
  get isBusy(): boolean {
    return this.#cursor !== undefined;
  }

  get isClosed(): boolean {
    return this.#handle === undefined;
  }

  /**
   * Runs the statement to its end. An open cursor of it is closed first.
   *
   * @throws {DatabaseError} `ARGS_INVALID`, `CLOSED`, `RESPONSE_TOO_LARGE` (what the statement
   * wrote is rolled back then, with the transaction around it), and whatever SQLite has to say.
   */
  run(args: Arguments = NO_ARGUMENTS, options: RunOptions = {}): RunResult {
    const handle = this.#start(args, ROW_FORM.values);
    const { scratch } = this.#owner;
    const { result } = scratch;
    const columns = this.#columns;
    if (result[FIELD.done] === 0) {
      const { cursor, batches } = this.#runOn(handle, ROW_FORM.values, options);
      const { changes, lastInsertRowid, seq } = cursor;
      return { columns, rows: new Rows(columns.length, batches), changes, lastInsertRowid, seq };
    }
    const count = result[FIELD.rows]!;
    const batches = count > 0 ? [{ count, bytes: scratch.takeOut() }] : NO_BATCHES;
    return {
      columns,
      rows: new Rows(columns.length, batches),
      changes: result[FIELD.changes]!,
      lastInsertRowid: scratch.rowid,
      seq: result[FIELD.seq]!,
    };
  }

  /**
   * Like {@linkcode run}, for a caller that passes the rows on: the library writes them as JSON.
   * `bytesMax` bounds that JSON.
   *
   * @throws {DatabaseError} like {@linkcode run}.
   */
  runToJson(args: Arguments = NO_ARGUMENTS, options: RunOptions = {}): JsonResult {
    const handle = this.#start(args, ROW_FORM.json);
    const { scratch } = this.#owner;
    const { result } = scratch;
    const { colsJson } = this;
    if (result[FIELD.done] === 0) {
      const { cursor, batches } = this.#runOn(handle, ROW_FORM.json, options);
      const { changes, lastInsertRowid, seq } = cursor;
      const rowsJson = hranaRowsOf(batches.map(({ bytes }) => bytes));
      return { colsJson, rowsJson, changes, lastInsertRowid, seq };
    }
    const bytes = result[FIELD.bytes]!;
    return {
      colsJson,
      rowsJson: bytes > 0 ? hranaRows(scratch.out.subarray(0, bytes)) : NO_HRANA_ROWS,
      changes: result[FIELD.changes]!,
      lastInsertRowid: scratch.rowid,
      seq: result[FIELD.seq]!,
    };
  }

  /**
   * Runs the statement and hands its rows over in pieces. Until the cursor is at its end or closed,
   * the statement holds its snapshot.
   *
   * @throws {DatabaseError} like {@linkcode run}.
   */
  open(args: Arguments = NO_ARGUMENTS): Cursor {
    return this.#openAt(this.#start(args, ROW_FORM.values), ROW_FORM.values);
  }

  /** Releases the statement; harmless when done before. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    this.#cursor?.close();
    // The result repeats the error of the last run, which was reported then.
    this.#owner.library.c.sqlite3_finalize(handle);
    this.#owner.forget(this);
  }

  /** Releases the statement, now or when its cursor ends. */
  retire(): void {
    this.#isRetired = true;
    if (this.#cursor === undefined) this.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Completes a run whose rows did not fit the output buffer. */
  #runOn(handle: Pointer, form: RowForm, options: RunOptions) {
    const cursor = this.#openAt(handle, form);
    return { cursor, batches: readAll(cursor, options.bytesMax ?? RESPONSE_BYTES_MAX) };
  }

  #openAt(handle: Pointer, form: RowForm): Cursor {
    const cursor = new Cursor(this.#owner, handle, form, () => {
      this.#cursor = undefined;
      if (this.#isRetired) this.close();
    });
    if (!cursor.isDone) this.#cursor = cursor;
    return cursor;
  }

  /** Binds, makes the first step, and leaves the first rows in the output buffer. */
  #start(args: Arguments, form: RowForm): Pointer {
    const handle = this.#handle;
    if (handle === undefined) throw new DatabaseError("CLOSED", "The statement is closed");
    this.#cursor?.close();
    const { library, scratch } = this.#owner;
    const { args: encoder, out } = scratch;
    encodeArguments(encoder, this.parameters, args);
    library.c.dqlite_run(
      handle,
      encoder.buffer,
      encoder.length,
      this.parameters.length,
      form,
      out,
      out.length,
      scratch.resultBytes,
    );
    scratch.check();
    if (scratch.result[FIELD.prepares] !== this.#prepares) this.#describeAgain(handle);
    return handle;
  }

  /** The schema changed, and the columns may have with it. Keeps the rows at hand in place. */
  #describeAgain(handle: Pointer): void {
    const { library, scratch } = this.#owner;
    const saved = scratch.result.slice();
    const rows = scratch.takeOut();
    scratch.result[FIELD.bytes] = 0;
    scratch.result[FIELD.needed] = 0;
    library.c.dqlite_describe(handle, scratch.out, scratch.out.length, scratch.resultBytes);
    this.#columns = takeDescription(library, scratch, handle).columns;
    this.#colsJson = undefined;
    scratch.result.set(saved);
    scratch.out.set(rows);
    this.#prepares = saved[FIELD.prepares]!;
  }
}
