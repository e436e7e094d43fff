/** Database files for a test, removed after it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { Connection, type ConnectionOptions } from "../../lib/database/connection.ts";
import { createDatabaseImage } from "../../lib/database/create.ts";

export const library = await openLibrary();

/** A folder that is removed at the end of the scope, and the connections that were opened in it. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "dqlite-database-"));
  readonly #connections: Connection[] = [];

  file(name = "test.db"): string {
    return join(this.path, name);
  }

  /** A new database file, as a node would start from. */
  image(name = "test.db"): string {
    writeFileSync(this.file(name), createDatabaseImage(library));
    return this.file(name);
  }

  connect(options: ConnectionOptions = { role: "plain" }, name?: string): Connection {
    const connection = Connection.open(library, this.file(name), options);
    this.#connections.push(connection);
    return connection;
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The error that `action` throws. */
export function errorOf(action: () => unknown): DatabaseError {
  try {
    action();
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
}
