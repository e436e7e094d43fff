import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { TestNode } from "../client/test_node.ts";

const ROOT = join(import.meta.dir, "../..");

let folder = "";
let node: TestNode;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dqlite-script-"));
  node = await TestNode.start(join(folder, "data.db"));
});

afterEach(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

interface Run {
  readonly out: string;
  readonly errors: string;
  readonly status: number;
}

/** Runs the shell with arguments, and with a script on its standard input when one is given. */
async function shell(args: string[], script?: string, command = ["bun"]): Promise<Run> {
  const child = Bun.spawn([...command, join(ROOT, "cli.ts"), "shell", "--url", node.url, ...args], {
    stdin: script === undefined ? "ignore" : new Blob([script]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, HOME: folder },
  });
  const out = await new Response(child.stdout).text();
  const errors = await new Response(child.stderr).text();
  return { out, errors, status: await child.exited };
}

const SCHEMA = `
create table "my t"(a integer primary key autoincrement, b text);
insert into "my t"(b) values('x'),('it''s'),(x'00ff'),(1.5),(null);
create table wr(k text primary key, v) without rowid;
insert into wr values('a',1),('b','l1
l2');
create table taken(rowid, v);
insert into taken values(7,3.14),(7,-1e300);
create index i1 on "my t"(b);
create view v as select a,b from "my t";
create trigger tr after insert on wr begin select 1; end;
create virtual table f using fts5(body);
insert into f values('hello world');
`;

test("a script on stdin shows its results without a banner", async () => {
  const script = "create table t(a,b);\ninsert into t values(1,'x'),\n(2,null);\nselect * from t;";
  expect(await shell([], script)).toEqual({ out: "1|x\n2|\n", errors: "", status: 0 });
});

test("a script stops at its first error, and names the line", async () => {
  const script = "select 1;\n\n-- why not\nselect *\nfrom nowhere;\nselect 2;\n";
  expect(await shell([], script)).toEqual({
    out: "1\n",
    errors: "Error: no such table: nowhere near line 4\n",
    status: 1,
  });
});

test("with .bail off a script goes on, and still fails", async () => {
  const { out, status } = await shell([], ".bail off\nselect nowhere;\nselect 2;\n");
  expect([out, status]).toEqual(["2\n", 1]);
});

test("arguments are run one after another, over one connection", async () => {
  const run = await shell([
    "begin; create table t(a)",
    "insert into t values(7)",
    ".headers on",
    "select * from t",
    "rollback",
    ".tables",
  ]);
  expect(run).toEqual({ out: "a\n7\n", errors: "", status: 0 });
});

test("the shell works under Deno as under Bun", async () => {
  const deno = [join(ROOT, "node_modules/.bin/deno"), "run", "-A"];
  const script = ".mode json\nselect 1 as a, 2.0 as b, 'é' as c;\n.quit 4\nselect 9;\n";
  expect(await shell([], script, deno)).toEqual({
    out: '[{"a":1,"b":2.0,"c":"é"}]\n',
    errors: "",
    status: 4,
  });
});

test("the output goes to a file and back", async () => {
  const file = join(folder, "out put.csv");
  const run = await shell([], `.mode csv\n.output "${file}"\nselect 1, 'a b';\n.output\nselect 2;`);
  expect([run.out, run.status]).toEqual(["2\r\n", 0]);
  expect(readFileSync(file, "utf8")).toBe('1,"a b"\r\n');
});

test("files are read, and an error in one stops the script", async () => {
  const file = join(folder, "part.sql");
  writeFileSync(file, "select 1;\nselect nowhere;\nselect 3;\n");
  const run = await shell([`.read ${file}`, "select 4"]);
  expect([run.out, run.status]).toEqual(["1\n", 1]);
  expect(run.errors).toContain("Error: no such column: nowhere near line 2\n");
  expect((await shell([".read /no/such/file"])).errors).toContain("/no/such/file");
  writeFileSync(file, `.read ${file}\n`);
  expect((await shell([`.read ${file}`])).errors).toContain("more than 16 files deep");
});

test("what changed and how long it took are shown on demand", async () => {
  const { out } = await shell([
    "create table t(a)",
    ".changes on",
    "insert into t values(1),(2)",
    "delete from t where a=1",
    ".changes off",
    ".timer on",
    "select 1",
  ]);
  const [first, second, one, timer] = out.split("\n");
  expect([first, second, one]).toEqual([
    "changes: 2   total_changes: 2",
    "changes: 1   total_changes: 3",
    "1",
  ]);
  expect(timer).toMatch(/^Run Time: real \d+\.\d{3}$/);
});

test("the schema is shown as the sqlite3 shell shows it", async () => {
  await shell([], SCHEMA);
  const { out } = await shell([".tables", ".tables %y%", ".indexes", ".indexes wr", ".schema wr"]);
  expect(out).toBe(
    [
      "f          f_content  f_docsize  my t       v        ",
      "f_config   f_data     f_idx      taken      wr       ",
      "my t",
      "i1",
      "CREATE TABLE wr(k text primary key, v) without rowid;",
      "CREATE TRIGGER tr after insert on wr begin select 1; end;",
      "",
    ].join("\n"),
  );
  const schema = (await shell([".schema"])).out;
  expect(schema).toContain('CREATE TABLE IF NOT EXISTS "my t"(a integer primary key');
  expect(schema).toContain('CREATE VIEW v as select a,b from "my t"\n/* v(a,b) */;\n');
  expect(schema).toContain("CREATE VIRTUAL TABLE f using fts5(body)\n/* f(body) */;\n");
});

test("a dump makes the same database again, and is the same for it", async () => {
  await shell([], SCHEMA);
  const dump = (await shell([".dump"])).out;
  expect(dump.split("\n").slice(0, 10)).toEqual([
    "PRAGMA foreign_keys=OFF;",
    "BEGIN TRANSACTION;",
    'CREATE TABLE IF NOT EXISTS "my t"(a integer primary key autoincrement, b text);',
    `INSERT INTO "my t" VALUES(1,'x');`,
    `INSERT INTO "my t" VALUES(2,'it''s');`,
    `INSERT INTO "my t" VALUES(3,X'00ff');`,
    `INSERT INTO "my t" VALUES(4,'1.5');`,
    `INSERT INTO "my t" VALUES(5,NULL);`,
    "CREATE TABLE wr(k text primary key, v) without rowid;",
    "INSERT INTO wr VALUES('a',1);",
  ]);
  expect(dump).toContain("INSERT INTO taken VALUES(7,-1.0000000000000000047e+300);\n");
  expect(dump).toContain(
    "DELETE FROM sqlite_sequence;\nINSERT INTO sqlite_sequence VALUES('my t',5)",
  );
  expect(dump.endsWith("PRAGMA writable_schema=OFF;\nCOMMIT;\n")).toBe(true);
  await node.stop();
  node = await TestNode.start(join(folder, "copy.db"));
  const plain = dump.replace(/PRAGMA writable_schema=ON;\n.*\n/, "").replaceAll(/.*f_\w+.*\n/g, "");
  expect((await shell([], plain)).errors).toBe("");
  expect((await shell([".dump"])).out).toBe(plain.replace("PRAGMA writable_schema=OFF;\n", ""));
});

test("a dump of many rows has each of them once", async () => {
  await shell([`create table t(a);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500)
    insert into t select i from n;
    create table w(a primary key) without rowid; insert into w select a from t`]);
  const { out } = await shell([".dump"]);
  const rows = (table: string) =>
    [...out.matchAll(new RegExp(`INSERT INTO ${table} VALUES\\((\\d+)\\)`, "g"))].map((m) =>
      +m[1]!
    );
  const expected = Array.from({ length: 2_500 }, (_, i) => i + 1);
  expect(rows("t")).toEqual(expected);
  expect(rows("w")).toEqual(expected);
});

test("the cluster is shown", async () => {
  const { out } = await shell([".cluster", ".leader", ".status"]);
  expect(out).toContain(`| 1  |      | yes    |         | ${node.url} |       |`);
  expect(out).toContain(`1  ${node.url}\n`);
  expect(out).toContain("transaction: none");
});

test("commands that are not known, or called wrongly, say what to do", async () => {
  const errorOf = async (command: string) => {
    const { errors, status } = await shell([command]);
    return [errors.trim(), status];
  };
  expect(await errorOf(".tbales")).toEqual([
    'Error: Unknown command ".tbales": did you mean ".tables"? near line 1',
    1,
  ]);
  expect((await errorOf(".mode jsno"))[0]).toContain('did you mean "json"?');
  expect((await errorOf(".headers maybe"))[0]).toContain("Usage: .headers on|off");
  expect((await errorOf(".xyz"))[0]).toContain('enter ".help" for a list');
  expect((await errorOf('.read "open'))[0]).toContain("Unclosed quote");
  expect((await errorOf(".quit 999"))[0]).toContain("from 0 to 255");
  const { out } = await shell([".help"]);
  for (const name of ["mode", "tables", "cluster", "dump", "quit"]) {
    expect(out).toContain(`.${name} `);
  }
});

test("no cluster at all is an error with a hint", async () => {
  await node.stop();
  const { errors, status } = await shell(["--timeout", "1", "select 1"]);
  expect(status).toBe(1);
  expect(errors).toContain("Error: No leader was found in time");
  expect(errors).toContain("Hint: ");
  node = await TestNode.start(join(folder, "data.db"));
}, 15_000);
