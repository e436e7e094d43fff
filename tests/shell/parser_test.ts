import { expect, test } from "bun:test";

import { hasCode, InputReader, oneLine, splitStatements } from "../../lib/shell/parser.ts";

/** What comes out of `lines`, as `line:text`, and what is left at the end. */
function read(...lines: string[]): string[] {
  const reader = new InputReader();
  const inputs = [...lines.flatMap((line) => reader.push(line)), ...reader.finish()];
  return inputs.map(({ type, text, line }) => `${line}${type === "command" ? "!" : ":"}${text}`);
}

test("a statement ends at its semicolon, wherever the lines end", () => {
  expect(read("select 1;")).toEqual(["1:select 1;"]);
  expect(read("select", "1", ";")).toEqual(["1:select\n1\n;"]);
  expect(read("select 1; select 2; select", "3;")).toEqual([
    "1:select 1;",
    "1:select 2;",
    "1:select\n3;",
  ]);
});

test("semicolons in strings, names and comments end nothing", () => {
  for (
    const sql of [
      "select 'a;b''c;';",
      'select ";" from "x;y";',
      "select `;`, [;];",
      "select 1 /* ; */ + 2;",
      "select 1 -- ;\n + 2;",
      "select 'a;\nb;\n';",
    ]
  ) expect(read(...sql.split("\n"))).toEqual([`1:${sql}`]);
});

test("the body of a trigger belongs to its statement", () => {
  const trigger =
    "create temp trigger t after insert on a begin select 1; update b set c = 1; end;";
  expect(read(...trigger.split(" "))).toEqual([`1:${trigger.replaceAll(" ", "\n")}`]);
  expect(read("explain create trigger t x begin select 1; END /* c */ ; select 2;")).toEqual([
    "1:explain create trigger t x begin select 1; END /* c */ ;",
    "1:select 2;",
  ]);
  // A CASE ends in the middle of the body, not at a semicolon.
  const nested = "create trigger t x begin select case when 1 then 2 end; end;";
  expect(read(nested)).toEqual([`1:${nested}`]);
  expect(read("create table trigger_like (a); select 1;").length).toBe(2);
});

test("a statement knows the line on which it begins", () => {
  expect(read("", "-- about it", "select 1;", "", "select", "2; select 3;")).toEqual([
    "3:select 1;",
    "5:select\n2;",
    "6:select 3;",
  ]);
});

test("a command is a line of its own, and only outside of statements", () => {
  expect(read(".tables", "select 1", ".5;", ".mode csv  ")).toEqual([
    "1!.tables",
    "2:select 1\n.5;",
    "4!.mode csv",
  ]);
});

test("comments and empty statements run nothing", () => {
  expect(read("-- only this", "/* and", "this; */", ";;", "  ")).toEqual([]);
  expect(read("-- comment", ".tables")).toEqual(["2!.tables"]);
});

test("what is not closed at the end of a script is run as it is", () => {
  expect(read("select 1")).toEqual(["1:select 1"]);
  expect(read("select 'open")).toEqual(["1:select 'open"]);
});

test("a reader tells whether a statement waits for its end", () => {
  const reader = new InputReader();
  reader.push("select 1,");
  expect(reader.pending).toBe("select 1,\n");
  reader.discard();
  expect(reader.pending).toBe("");
  reader.push("/* open");
  expect(reader.pending).not.toBe("");
  expect(reader.push("*/ select 2;").map(({ text }) => text)).toEqual(["/* open\n*/ select 2;"]);
});

test("a long statement costs no more than its length", () => {
  const reader = new InputReader();
  reader.push("insert into t values");
  const startMs = performance.now();
  for (let i = 0; i < 50_000; i++) reader.push(`(${i}, 'some text of a row'),`);
  const [input] = reader.push("(0, '');");
  expect(input!.text.length).toBeGreaterThan(1_000_000);
  expect(performance.now() - startMs).toBeLessThan(1_000);
});

test("a statement of several lines becomes one line of history", () => {
  expect(oneLine("select 1 -- one\n  + 2\n;")).toBe("select 1 + 2 ;");
  expect(oneLine("select 'a\n  b', /* c */ 2;")).toBe("select 'a\n  b', /* c */ 2;");
  expect(oneLine("  .tables  ")).toBe(".tables");
});

test("only spaces, comments and semicolons are no code", () => {
  for (const text of ["", " \n;", "-- a", "/* a */;", "/* open"]) expect(hasCode(text)).toBe(false);
  for (const text of ["a", "'", "-- a\n1", "/* a */ x"]) expect(hasCode(text)).toBe(true);
});

test("any text whatever is split without loss", () => {
  const parts = ["'", '"', ";", "--", "/*", "*/", "\n", "[", "]", "end", "create trigger a ", " x"];
  for (let seed = 1; seed < 3_000; seed++) {
    let text = "";
    for (let n = seed; n > 0; n = Math.floor(n / parts.length)) text += parts[n % parts.length];
    const { statements, rest } = splitStatements(text);
    const again = [...statements.map((s) => s.text), rest].join("").replace(/[\s;]/g, "");
    expect([text, text.replace(/[\s;]/g, "").endsWith(rest.replace(/[\s;]/g, ""))])
      .toEqual([text, true]);
    expect(again.length).toBeLessThanOrEqual(text.length);
  }
});
