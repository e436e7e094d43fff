/** The rows of a running statement, in pieces. */
import type { Library, Pointer } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { RESPONSE_BYTES_MAX } from "../base/limits.ts";
import { FIELD, type Scratch } from "./scratch.ts";
import type { RowBatch } from "./values.ts";

/** How the library writes rows: as values, or as JSON; see `ffi/sqlite3/statement.h`. */
export const ROW_FORM = { values: 0, json: 1 } as const;

/** One of {@linkcode ROW_FORM}. */
export type RowForm = (typeof ROW_FORM)[keyof typeof ROW_FORM];

/** Where a cursor finds the library and its buffers. */
export interface CursorOwner {
  readonly library: Library;
  readonly scratch: Scratch;
}

/**
 * What a statement that was started yields. While rows are left, the statement stands open and
 * holds its snapshot.
 */
export class Cursor implements Disposable {
  readonly columnCount: number;
  /** The rowid of the last row that the connection inserted. */
  readonly lastInsertRowid: bigint;
  readonly #owner: CursorOwner;
  readonly #handle: Pointer;
  readonly #form: RowForm;
  readonly #onEnd: () => void;
  #seq: number;
  #changes = 0;
  #batch: RowBatch | undefined;
  #pendingBytes: number;
  #isDone: boolean;

  /**
   * Made by a statement right after its first step: takes the rows out of the output buffer.
   *
   * @param form The one it was started with.
   * @param onEnd Called once, when the statement no longer stands open.
   */
  constructor(owner: CursorOwner, handle: Pointer, form: RowForm, onEnd: () => void) {
    const { result } = owner.scratch;
    this.#owner = owner;
    this.#handle = handle;
    this.#form = form;
    this.#onEnd = onEnd;
    this.columnCount = result[FIELD.columns]!;
    this.lastInsertRowid = owner.scratch.rowid;
    this.#seq = result[FIELD.seq]!;
    this.#pendingBytes = result[FIELD.needed]!;
    this.#isDone = result[FIELD.done] === 1;
    if (this.#isDone) this.#changes = result[FIELD.changes]!;
    const count = result[FIELD.rows]!;
    this.#batch = count > 0 ? { count, bytes: owner.scratch.takeOut() } : undefined;
  }

  /** See `RunResult.seq`; final once the cursor is done. */
  get seq(): number {
    return this.#seq;
  }

  /** Rows that the statement itself changed; known once the cursor is done. */
  get changes(): number {
    return this.#changes;
  }

  /** Whether the statement has ended; rows that it yielded may still wait in {@linkcode next}. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Size in bytes of the next row, where it is known already; else 0. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * The next rows, at least one; undefined at the end.
   *
   * @throws {DatabaseError} `RESPONSE_TOO_LARGE` for a row above `RESPONSE_BYTES_MAX`, and whatever
   * SQLite has to say. The cursor is closed then.
   */
  next(): RowBatch | undefined {
    const batch = this.#batch;
    if (batch !== undefined) {
      this.#batch = undefined;
      return batch;
    }
    return this.#isDone ? undefined : this.#fetch();
  }

  /**
   * Ends the statement; harmless at its end. What a statement has written that is ended early is
   * rolled back, with the transaction around it.
   */
  close(): void {
    this.#batch = undefined;
    if (this.#isDone) return;
    this.#owner.library.c.dqlite_cancel(this.#handle);
    this.#end();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #fetch(): RowBatch {
    const { library, scratch } = this.#owner;
    const { result } = scratch;
    const pendingBytes = this.#pendingBytes;
    assert(pendingBytes > 0, "a statement that stands open has a row that did not fit");
    if (pendingBytes > RESPONSE_BYTES_MAX) {
      this.close();
      throw tooLarge(RESPONSE_BYTES_MAX);
    }
    // A row beyond the shared buffer gets one of its own, which the batch then keeps.
    const isLarge = pendingBytes > scratch.out.length;
    const out = isLarge ? new Uint8Array(pendingBytes) : scratch.out;
    library.c.dqlite_next(
      this.#handle,
      1,
      this.#form,
      out,
      out.length,
      scratch.resultBytes,
    );
    if (result[FIELD.done] === 1) this.#end();
    scratch.check(out);
    this.#seq = result[FIELD.seq]!;
    this.#pendingBytes = result[FIELD.needed]!;
    if (this.#isDone) this.#changes = result[FIELD.changes]!;
    const count = result[FIELD.rows]!;
    assert(count > 0, "the row that was waited for is there");
    const sizeBytes = result[FIELD.bytes]!;
    return { count, bytes: isLarge ? out.subarray(0, sizeBytes) : out.slice(0, sizeBytes) };
  }

  #end(): void {
    assert(!this.#isDone, "a statement ends once");
    this.#isDone = true;
    this.#pendingBytes = 0;
    this.#onEnd();
  }
}

/**
 * All rows of a cursor. The bound is checked while rows are left, so that what is returned may
 * exceed it by one buffer; a statement that has ended, and committed, is never answered with an
 * error.
 *
 * @throws {DatabaseError} `RESPONSE_TOO_LARGE` when the rows exceed `bytesMax`; the cursor is
 * closed.
 */
export function readAll(cursor: Cursor, bytesMax: number): readonly RowBatch[] {
  const batches: RowBatch[] = [];
  let sizeBytes = 0;
  for (;;) {
    if (sizeBytes + cursor.pendingBytes > bytesMax && !cursor.isDone) {
      cursor.close();
      throw tooLarge(bytesMax);
    }
    const batch = cursor.next();
    if (batch === undefined) return batches;
    sizeBytes += batch.bytes.length;
    batches.push(batch);
  }
}

function tooLarge(bytesMax: number): DatabaseError {
  return new DatabaseError("RESPONSE_TOO_LARGE", `The rows exceed ${bytesMax} bytes`, {
    hint: "Ask for fewer rows, or for pieces with LIMIT",
  });
}
