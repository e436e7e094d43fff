/** A whole database as SQL. */
import type { InArgs, InValue, Value } from "../client/types.ts";
import type { ShellHost } from "./host.ts";
import type { Rows } from "./modes.ts";
import { identifier, quoteText, sqlLiteral } from "./value_text.ts";

/** Rows that are read at once. */
const PAGE_ROWS = 1_000;

interface SchemaObject {
  readonly type: string;
  readonly name: string;
  readonly sql: string;
}

/** A database that stands still while it is dumped. */
export interface DumpSource {
  query(sql: string, args?: InArgs): Promise<Rows>;
  /** All rows of a table: the values of its columns, in their order. */
  rows(table: string, columns: readonly string[]): AsyncIterable<readonly Value[]>;
  /** Takes the next part of the text. */
  print(text: string): void;
}

/**
 * Prints statements that make the tables matching `pattern` again. All of it is read in one
 * transaction, so it shows one moment.
 */
export async function dump(shell: ShellHost, pattern: string): Promise<void> {
  const own = !shell.inTransaction;
  if (own) await shell.query("BEGIN");
  try {
    await dumpAll({
      query: (sql, args) => shell.query(sql, args),
      rows: (table, columns) => pages(shell, table, columns),
      print: (text) => shell.print(text),
    }, pattern);
  } finally {
    if (own && shell.inTransaction) await shell.query("COMMIT");
  }
}

/** A CREATE TABLE of a quoted name is shown so that it can be run again. */
export function creation(sql: string): string {
  return sql.replace(/^CREATE TABLE (?=['"])/, "CREATE TABLE IF NOT EXISTS ");
}

/** Prints statements that make the tables matching `pattern` again. */
export async function dumpAll(source: DumpSource, pattern: string): Promise<void> {
  const { rows } = await source.query(
    `SELECT type, name, sql FROM sqlite_schema
      WHERE sql IS NOT NULL AND tbl_name LIKE ? ORDER BY type = 'table' DESC, rowid`,
    [pattern],
  );
  const objects = rows.map(([type, name, sql]): SchemaObject => ({
    type: String(type),
    name: String(name),
    sql: String(sql),
  }));
  const tables = objects.filter(({ type }) => type === "table");
  const virtual = tables.some(isVirtual);
  source.print("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
  // A virtual table is put into the schema as it is, since its own tables are dumped as well.
  let writable = false;
  for (const table of tables) {
    if (table.name.startsWith("sqlite_")) continue;
    if (isVirtual(table)) {
      if (!writable) source.print("PRAGMA writable_schema=ON;\n");
      writable = true;
      source.print(virtualInsert(table));
    } else {
      source.print(`${creation(table.sql)};\n`);
      await dumpRows(source, table);
    }
  }
  const sequence = tables.find(({ name }) => name === "sqlite_sequence");
  if (sequence !== undefined) {
    source.print("DELETE FROM sqlite_sequence;\n");
    await dumpRows(source, sequence);
  }
  for (const { sql } of objects.filter(({ type }) => type !== "table")) source.print(`${sql};\n`);
  if (virtual) source.print("PRAGMA writable_schema=OFF;\n");
  source.print("COMMIT;\n");
}

function isVirtual({ sql }: SchemaObject): boolean {
  return /^CREATE VIRTUAL TABLE/i.test(sql);
}

function virtualInsert({ name, sql }: SchemaObject): string {
  const values = `'table',${quoteText(name)},${quoteText(name)},0,${sqlLiteral(sql)}`;
  return `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES(${values});\n`;
}

async function dumpRows(source: DumpSource, table: SchemaObject): Promise<void> {
  const info = await source.query(
    "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid",
    [table.name],
  );
  const columns = info.rows.map(([name]) => String(name));
  const start = `INSERT INTO ${identifier(table.name)} VALUES(`;
  for await (const row of source.rows(table.name, columns)) {
    source.print(`${start}${row.map(sqlLiteral).join(",")});\n`);
  }
}

/** The rows of a table, read page by page: by rowid where there is one, else by position. */
async function* pages(
  shell: ShellHost,
  table: string,
  columns: readonly string[],
): AsyncGenerator<readonly Value[]> {
  const rowid = await rowidName(shell, table, columns);
  const names = columns.map(quotedName).join(",");
  const from = `FROM ${quotedName(table)}`;
  let after: InValue = null;
  for (let offset = 0;; offset += PAGE_ROWS) {
    const page: Rows = rowid === undefined
      ? await shell.query(`SELECT NULL,${names} ${from} LIMIT ? OFFSET ?`, limits(offset))
      : await shell.query(
        `SELECT ${rowid},${names} ${from} WHERE ?1 IS NULL OR ${rowid}>?1
          ORDER BY ${rowid} LIMIT ${PAGE_ROWS}`,
        [after],
      );
    for (const [id, ...values] of page.rows) {
      after = id!;
      yield values;
    }
    if (page.rows.length < PAGE_ROWS) return;
  }
}

function limits(offset: number): InValue[] {
  return [BigInt(PAGE_ROWS), BigInt(offset)];
}

/** A name of the rowid that no column has taken; undefined for a table without rowid. */
async function rowidName(
  shell: ShellHost,
  table: string,
  columns: readonly string[],
): Promise<string | undefined> {
  const { rows } = await shell.query("SELECT wr FROM pragma_table_list WHERE name = ?", [table]);
  if (rows[0]?.[0] === 1n) return undefined;
  const taken = new Set(columns.map((name) => name.toLowerCase()));
  return ["rowid", "_rowid_", "oid"].find((name) => !taken.has(name));
}

/** A name as SQL, always quoted. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
