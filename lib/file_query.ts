/** Queries of a database file on this machine, with results in the form that a client gets. */
import { openLibrary } from "../ffi/open.ts";
import type { Value } from "./client/types.ts";
import type { Connection } from "./database/connection.ts";
import { openDatabaseFile } from "./database/database_file.ts";
import { Rows, type Value as OwnValue } from "./database/values.ts";
import type { Disk } from "./io/disk.ts";

/** A file that is read, and that nobody changes meanwhile. */
export class FileQuery implements Disposable {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** @throws {DatabaseError} `CONFIG` when it cannot be read, `CORRUPT` when it is no database. */
  static async open(disk: Disk, path: string): Promise<FileQuery> {
    return new FileQuery(openDatabaseFile(await openLibrary(), disk, path));
  }

  /** Runs one statement. @throws {DatabaseError} of SQLite. */
  query(
    sql: string,
    args: readonly string[] = [],
  ): { readonly columns: string[]; readonly rows: Value[][] } {
    const statement = this.#connection.prepare(sql).statement!;
    const { columns, rows } = statement.run(args);
    return { columns: columns.map(({ name }) => name), rows: rows.decode().map(asClientRow) };
  }

  /** Runs one statement and yields its rows in pieces. @throws {DatabaseError} of SQLite. */
  *rows(sql: string): Generator<Value[][]> {
    const statement = this.#connection.prepareOwned(sql).statement!;
    try {
      using cursor = statement.open();
      for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) {
        yield new Rows(cursor.columnCount, [batch]).decode().map(asClientRow);
      }
    } finally {
      statement.close();
    }
  }

  close(): void {
    this.#connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function asClientRow(row: readonly OwnValue[]): Value[] {
  return row.map((value) =>
    value instanceof Uint8Array ? value.slice().buffer as ArrayBuffer : value
  );
}
