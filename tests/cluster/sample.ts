/** A database file with a bit of everything, made and read by a SQLite of its own. */
import { Database } from "bun:sqlite";

/** What is to be told of a file. */
export interface SampleOptions {
  readonly pageSize?: number;
  readonly rows?: number;
  /** Text that the rows carry, to tell two files apart. */
  readonly mark?: string;
  readonly encoding?: string;
}

/** What a sample shows, wherever it is. */
export const SAMPLE_QUERIES = [
  "SELECT count(*), sum(a), min(b), max(b) FROM sample",
  "SELECT k, v FROM sample_pairs ORDER BY k",
  "SELECT n FROM sample_view",
  "SELECT count(*) FROM sample_text WHERE sample_text MATCH 'needle'",
  "SELECT user_version FROM pragma_user_version",
  "SELECT application_id FROM pragma_application_id",
  "SELECT integrity_check FROM pragma_integrity_check",
] as const;

/** Makes the file. */
export function makeSample(path: string, options: SampleOptions = {}): void {
  const { pageSize = 4_096, rows = 1_000, mark = "mark", encoding = "UTF-8" } = options;
  const database = new Database(path, { create: true });
  try {
    database.exec(`
      PRAGMA page_size = ${pageSize};
      PRAGMA encoding = '${encoding}';
      PRAGMA user_version = 41;
      PRAGMA application_id = 42;
      CREATE TABLE sample(a INTEGER PRIMARY KEY, b TEXT, c BLOB);
      CREATE INDEX sample_b ON sample(b);
      CREATE TABLE sample_pairs(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
      CREATE TABLE sample_changes(k TEXT);
      CREATE TRIGGER sample_changed AFTER INSERT ON sample_pairs
        BEGIN INSERT INTO sample_changes VALUES(new.k); END;
      CREATE VIEW sample_view AS SELECT count(*) AS n FROM sample_changes;
      CREATE VIRTUAL TABLE sample_text USING fts5(body);
      WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
        INSERT INTO sample SELECT i, '${mark} ' || i, randomblob(1000) FROM n;
      INSERT INTO sample_pairs VALUES('one', 1), ('two', x'0203'), ('three', NULL);
      INSERT INTO sample_text VALUES('hay and needle'), ('hay'), ('${mark}');
    `);
  } finally {
    database.close();
  }
}

/** What the file shows, each row as text. */
export function sampleContent(path: string): string[] {
  const database = new Database(path, { readonly: true });
  try {
    return SAMPLE_QUERIES.map((sql) => JSON.stringify(database.query(sql).values().map(plain)));
  } finally {
    database.close();
  }
}

/** A row in a form that JSON shows. */
function plain(row: readonly unknown[]): unknown[] {
  return row.map((value) => value instanceof Uint8Array ? value.toHex() : value);
}
