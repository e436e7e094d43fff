/** A fingerprint of everything a database holds, to compare replicas by. */
import type { Hasher } from "../io/hash.ts";
import type { Connection } from "./connection.ts";
import { visitValues } from "./values.ts";

/** Content of a database at one moment. */
export interface Digest {
  /** SHA-256 over all pages in order, in hexadecimal. */
  readonly sha256: string;
  /** Size of the database in pages. */
  readonly pages: number;
}

/**
 * Hashes all pages of the database as of one snapshot; writers go on meanwhile.
 *
 * @param connection Not inside a transaction.
 * @param hasher A fresh SHA-256.
 * @param onBegun Called once the snapshot is taken, before most of the work.
 * @throws {DatabaseError} `SQLITE` when a page cannot be read.
 */
export function digestOf(
  connection: Connection,
  hasher: Hasher,
  onBegun: () => void = () => {},
): Digest {
  let pages = 0;
  const visitor = {
    null: ignore,
    integer: ignore,
    real: ignore,
    text: ignore,
    blob(page: Uint8Array): void {
      hasher.update(page);
      pages += 1;
    },
  };
  for (const statement of connection.statements("SELECT data FROM sqlite_dbpage")) {
    using cursor = statement.open();
    onBegun();
    for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) {
      visitValues(batch.bytes, visitor);
    }
  }
  return { sha256: hasher.digestHex(), pages };
}

function ignore(): void {}
