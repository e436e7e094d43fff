/**
 * The transactions of the clients: SQL that depends on what it finds, and on nothing else, so that
 * a lost, repeated or reordered one changes everything after it. `head` counts the transactions and
 * chains their ids, `ledger` lists them.
 */

/** A piece of a transaction, sent as one request. */
export interface Step {
  readonly sql: string;
  /** It has to fail, and the transaction goes on. */
  readonly fails?: boolean;
}

/** A transaction: what precedes it, its work, and its end. */
export interface Transaction {
  /** Outside of the transaction. */
  readonly before: readonly Step[];
  readonly work: readonly Step[];
  readonly end: readonly Step[];
  /** Whether it needs more pages than its cache has. */
  readonly spills: boolean;
}

/** What a session reads to know which transactions it sees. */
export const HEAD_SQL =
  "SELECT count, chain, coalesce((SELECT max(position) FROM ledger), 0) FROM head";

/** The transactions after so many; the number follows. */
export const LEDGER_SQL = "SELECT id, chain FROM ledger WHERE position >";

/** Small enough that a transaction of a few dozen pages spills. */
const SMALL_CACHE = "PRAGMA cache_size = 8";

const SCHEMA = `
  CREATE TABLE head (count INTEGER, chain INTEGER);
  CREATE TABLE ledger (position INTEGER PRIMARY KEY, id INTEGER UNIQUE, chain INTEGER);
  CREATE TABLE items (id INTEGER PRIMARY KEY, k INTEGER, note TEXT);
  CREATE INDEX items_k ON items (k);
  CREATE TABLE blobs (id INTEGER, part INTEGER, body BLOB, PRIMARY KEY (id, part)) WITHOUT ROWID;
  INSERT INTO head VALUES (0, 0);
`;

/** The work of a transaction; `id` draws it. */
const WORK: readonly ((id: number) => Partial<Transaction>)[] = [
  (id) => only(`INSERT INTO items VALUES (${id}, ${id % 101}, 'item ${id}')`),
  (id) => only(`INSERT INTO items SELECT ${id}, count(*), 'after ' || max(id) FROM items`),
  (id) => only(`UPDATE items SET k = (k * 7 + ${id}) % 101 WHERE id % 5 = ${id % 5}`),
  (id) => only(`UPDATE items SET note = note || ' ${id}' WHERE length(note) < 200`),
  (id) => only(`DELETE FROM items WHERE id % 3 = ${id % 3}`),
  (id) =>
    only(
      `INSERT INTO items VALUES (${id}, 0, 'twice')`,
      `SAVEPOINT one;
    DELETE FROM items; ${blobs(id, 6)}; ROLLBACK TO one;
    UPDATE items SET k = k + 1; RELEASE one`,
    ),
  (id) => ({
    work: [
      step(`INSERT INTO items VALUES (${id}, 1, 'kept'); SAVEPOINT two`),
      { sql: `INSERT INTO items VALUES (${id}, 2, 'not kept')`, fails: true },
      step(`ROLLBACK TO two; RELEASE two`),
    ],
  }),
  // Many pages, which a small cache spills.
  (id) => ({ before: [step(SMALL_CACHE)], work: [step(blobs(id, 12 + id % 30))] }),
  (id) => ({
    before: [step(SMALL_CACHE)],
    work: [step(`SAVEPOINT big; ${blobs(id, 30)}`), step("ROLLBACK TO big; RELEASE big")],
  }),
  (id) => only(`DELETE FROM blobs WHERE id < ${id - 8} OR part % 4 = ${id % 4}`),
  (id) => only("CREATE INDEX IF NOT EXISTS items_note ON items (note)", blobs(id, 2)),
  () => only("DROP INDEX IF EXISTS items_note"),
  (id) => only(`CREATE TABLE IF NOT EXISTS extra (a, b); INSERT INTO extra VALUES (${id}, 'x')`),
  () => only("DROP TABLE IF EXISTS extra"),
  (id) => ({ before: [step("VACUUM")], work: [step(blobs(id, 3))] }),
  (id) => ({
    before: [step(`BEGIN IMMEDIATE; DELETE FROM items; ${blobs(id, 9)}; ROLLBACK`)],
    work: [step(`UPDATE items SET k = -k`)],
  }),
];

/** @param first Whether nothing was run before: the tables are made with it. */
export function transactionOf(id: number, first: boolean): Transaction {
  const draw = WORK[first ? 0 : Math.imul(id, 0x9e3779b1) >>> 28]!;
  const { before = [], work = [] } = draw(id);
  return {
    before,
    spills: before[0]?.sql === SMALL_CACHE,
    work: [step(`BEGIN IMMEDIATE;${first ? SCHEMA : ""}`), ...work],
    end: [
      step(`
      UPDATE head SET count = count + 1, chain = (chain * 31 + ${id}) % 1000003;
      INSERT INTO ledger SELECT count, ${id}, chain FROM head;
    `),
      step("COMMIT"),
    ],
  };
}

function only(...sqls: readonly string[]): Partial<Transaction> {
  return { work: sqls.map(step) };
}

function step(sql: string): Step {
  return { sql };
}

/** Inserts rows of a few hundred bytes that depend on what is there. */
function blobs(id: number, rows: number): string {
  return `WITH RECURSIVE parts (part) AS (SELECT 1 UNION ALL SELECT part + 1 FROM parts
    WHERE part < ${rows})
    INSERT OR REPLACE INTO blobs SELECT ${id}, part,
      CAST(printf('%0*d', 200 + part * 7, ${id} * 1000 + (SELECT count(*) FROM items)) AS BLOB)
    FROM parts`;
}
