/** The bytes that a database starts from, the same on every node. */
import type { Library } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { Connection } from "./connection.ts";

/** Properties of a database that are fixed when it is made. */
export interface DatabaseImageOptions {
  /** A power of two from 512 to 65,536; 4,096 by default. */
  readonly pageSize?: number;
  /** How texts are stored; UTF-8 by default. */
  readonly encoding?: "UTF-8" | "UTF-16le" | "UTF-16be";
}

/** Where the header tells what it takes to write and read the file (file format, §1.3). */
const WRITE_VERSION_OFFSET = 18;
const READ_VERSION_OFFSET = 19;
/** The version of a file with a write-ahead log. */
const WAL_VERSION = 2;

/**
 * Makes an empty database of one page in WAL mode, without auto-vacuum. SQLite itself builds the
 * page, in memory; the mode is two bytes of its header.
 */
export function createDatabaseImage(
  library: Library,
  options: DatabaseImageOptions = {},
): Uint8Array<ArrayBuffer> {
  const { pageSize = 4_096, encoding = "UTF-8" } = options;
  assert(
    pageSize >= 512 && pageSize <= 65_536 && (pageSize & (pageSize - 1)) === 0,
    `page size ${pageSize}`,
  );
  using connection = Connection.open(library, ":memory:", { role: "plain" });
  connection.exec(`
    PRAGMA page_size = ${pageSize};
    PRAGMA encoding = '${encoding}';
    PRAGMA auto_vacuum = NONE;
    -- The encoding is written down with the first table.
    CREATE TABLE first (a);
    DROP TABLE first;
    VACUUM;
  `);
  const { statement } = connection.prepare("SELECT data FROM sqlite_dbpage");
  const pages = statement!.run().rows.decode();
  const page = pages[0]?.[0];
  assert(pages.length === 1, `a new database has ${pages.length} pages`);
  assert(page instanceof Uint8Array && page.length === pageSize, "the page is whole");
  const image = new Uint8Array(page);
  image[WRITE_VERSION_OFFSET] = WAL_VERSION;
  image[READ_VERSION_OFFSET] = WAL_VERSION;
  return image;
}
