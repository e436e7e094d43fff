/** What a real database holds. */
import type { Library } from "../../../ffi/library.ts";
import { crc32c } from "../../../lib/base/crc32c.ts";
import { Connection } from "../../../lib/database/connection.ts";
import { digestOf } from "../../../lib/database/digest.ts";
import { require } from "../checkers/violation.ts";
import type { Content, Head, Ran } from "../database.ts";
import { HEAD_SQL, LEDGER_SQL } from "./sql.ts";

/** The content of a database at one moment, through a connection of its own. */
export class SqliteContent implements Content {
  readonly count: number;
  readonly chain: number;
  readonly #digest: number;

  constructor(library: Library, path: string) {
    using connection = Connection.open(library, path, { role: "session" });
    const head = headOf(connection);
    this.count = head.count;
    this.chain = head.chain;
    this.#digest = digestPages(connection);
  }

  digest(): number {
    return this.#digest;
  }
}

/** What a connection sees. */
export function headOf(connection: Connection): Head {
  return isEmpty(connection)
    ? { count: 0, chain: 0 }
    : headFrom(query(connection, HEAD_SQL)[0]!.map(Number));
}

/** @param row A row of {@linkcode HEAD_SQL}. */
export function headFrom([count = 0, chain = 0, listed = 0]: readonly number[]): Head {
  require(listed === count, () => `a snapshot shows ${count} transactions and lists ${listed}`);
  return { count, chain };
}

/** The transactions after the first `count`. */
export function ranAfter(connection: Connection, count: number): Ran[] {
  if (isEmpty(connection)) return [];
  return query(connection, `${LEDGER_SQL} ${count} ORDER BY position`).map(([id, chain]) => ({
    id: Number(id),
    chain: Number(chain),
  }));
}

/** All rows of a query. */
export function query(connection: Connection, sql: string): unknown[][] {
  return connection.prepare(sql).statement!.run().rows.decode() as unknown[][];
}

/** Every row of every table, and the schema, as a text. */
export function dump(connection: Connection): string {
  const schema = query(connection, "SELECT type, name, sql FROM sqlite_schema ORDER BY name");
  const tables = schema.filter(([type]) => type === "table");
  const rows = tables.map(([, name]) => query(connection, `SELECT * FROM "${String(name)}"`));
  return JSON.stringify([schema, rows], (_key, value: unknown) => {
    if (value instanceof Uint8Array) return crc32c(value);
    return typeof value === "bigint" ? String(value) : value;
  });
}

function isEmpty(connection: Connection): boolean {
  return query(connection, "SELECT count(*) FROM sqlite_schema")[0]![0] === 0n;
}

function digestPages(connection: Connection): number {
  let crc = 0;
  const hasher = {
    update: (page: Uint8Array) => {
      crc = crc32c(page, 0, page.length, crc);
    },
    digestHex: () => "",
  };
  digestOf(connection, hasher);
  return crc;
}
