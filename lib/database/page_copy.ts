/** The pages of one database put in the place of another's, in one transaction. */
import type { Library, Pointer } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { checkResult, MAIN } from "./native.ts";

const SQLITE_DONE = 101;

/** A replacement under way: SQLite's own backup, whose last step commits. */
export class PageCopy implements Disposable {
  readonly #library: Library;
  readonly #to: Pointer;
  #copy: Pointer | undefined;

  /** Made by `Connection.replaceBy`. */
  constructor(library: Library, to: Pointer, from: Pointer) {
    this.#library = library;
    this.#to = to;
    const copy = library.c.sqlite3_backup_init(to, MAIN, from, MAIN);
    if (copy === null) {
      throw new DatabaseError("SQLITE", "The database cannot be replaced inside a transaction");
    }
    this.#copy = copy;
  }

  /**
   * Copies up to `pages` more pages. The first call takes the write lock.
   *
   * @returns Whether that was all, and is committed.
   * @throws {DatabaseError} `SQLITE`, `NOT_LEADER`; among others `SQLITE_INTERRUPT` when the
   * connection was interrupted. Nothing has changed then, once the copy is closed.
   */
  step(pages: number): boolean {
    assert(this.#copy !== undefined, "a copy that is over");
    const { c } = this.#library;
    if (c.sqlite3_is_interrupted(this.#to) !== 0) {
      throw new DatabaseError("SQLITE", "interrupted", {
        sqliteName: "SQLITE_INTERRUPT",
        sqliteCode: 9,
      });
    }
    const rc = c.sqlite3_backup_step(this.#copy, pages);
    if (rc === SQLITE_DONE) return true;
    checkResult(rc, "replace the database");
    return false;
  }

  /** Ends it; what was copied without being committed is rolled back. Harmless when done before. */
  close(): void {
    const copy = this.#copy;
    if (copy === undefined) return;
    this.#copy = undefined;
    // The result repeats the error of the last step, which was reported then.
    this.#library.c.sqlite3_backup_finish(copy);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
