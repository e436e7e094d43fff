import { expect, test } from "bun:test";

import type { Value } from "../../lib/client/types.ts";
import { type Display, type ModeName, renderRows, type Rows } from "../../lib/shell/modes.ts";
import { realText } from "../../lib/shell/real_text.ts";
import { textWidth } from "../../lib/shell/width.ts";

// Every expected text below was taken from the sqlite3 shell, version 3.40.1, for the same rows;
// but for wide characters, which that version does not measure, and for jsonl, which it lacks.

const blob = (...bytes: number[]): Value => new Uint8Array(bytes).buffer;

const ROWS: Rows = {
  columns: ["id", "na me", "r", "b"],
  rows: [
    [1n, "a,b", 1, blob(0, 1, 255)],
    [2n, `it's "q"`, 1e100, null],
    [9007199254740993n, null, 3.14, blob()],
    [4n, "", -1.5e-7, "x'y"],
  ],
};

const LINES: Rows = {
  columns: ["x", "name"],
  rows: [["one\ntwo\tend", null], ["back\\slash", "c\r\nd"]],
};

function show(mode: ModeName, rows: Rows, display: Partial<Display> = {}): string {
  return renderRows(rows, { mode, headers: true, nullText: "", table: "table", ...display });
}

/** Lines, each with its newline. */
function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

test("list mode", () => {
  expect(show("list", ROWS)).toBe(lines(
    "id|na me|r|b",
    "1|a,b|1.0|",
    `2|it's "q"|1.0e+100|`,
    "9007199254740993||3.14|",
    "4||-1.5e-07|x'y",
  ));
  expect(show("list", ROWS, { headers: false, nullText: "-" }).split("\n")[1])
    .toBe(`2|it's "q"|1.0e+100|-`);
});

test("tabs mode", () => {
  expect(show("tabs", ROWS).split("\n")[1]).toBe("1\ta,b\t1.0\t");
});

test("csv mode", () => {
  expect(show("csv", ROWS)).toBe(
    [
      `id,"na me",r,b`,
      `1,"a,b",1.0,""`,
      `2,"it's ""q""",1.0e+100,`,
      `9007199254740993,,3.14,""`,
      `4,"",-1.5e-07,"x'y"`,
      "",
    ].join("\r\n"),
  );
  expect(show("csv", { columns: ["a"], rows: [["é"], ["a;b~"], ["a\x7f"]] }, { headers: false }))
    .toBe(`"é"\r\na;b~\r\n"a\x7f"\r\n`);
});

test("column mode", () => {
  expect(show("column", { columns: ["a", "longer"], rows: [[1n, "x"], [22n, null]] })).toBe(lines(
    "a   longer",
    "--  ------",
    "1   x     ",
    "22        ",
  ));
  expect(show("column", LINES)).toBe(lines(
    "x            name",
    "-----------  ----",
    "one              ",
    "two     end      ",
    "",
    "back\\slash   c   ",
    "             d   ",
  ));
});

test("table mode", () => {
  expect(show("table", ROWS)).toBe(lines(
    "+------------------+----------+----------+-----+",
    "|        id        |  na me   |    r     |  b  |",
    "+------------------+----------+----------+-----+",
    "| 1                | a,b      | 1.0      |     |",
    `| 2                | it's "q" | 1.0e+100 |     |`,
    "| 9007199254740993 |          | 3.14     |     |",
    "| 4                |          | -1.5e-07 | x'y |",
    "+------------------+----------+----------+-----+",
  ));
});

test("box mode sets rows of several lines apart", () => {
  expect(show("box", LINES, { nullText: "NULL" })).toBe(lines(
    "┌─────────────┬──────┐",
    "│      x      │ name │",
    "├─────────────┼──────┤",
    "│ one         │ NULL │",
    "│ two     end │      │",
    "├─────────────┼──────┤",
    "│ back\\slash  │ c    │",
    "│             │ d    │",
    "└─────────────┴──────┘",
  ));
});

test("markdown mode", () => {
  expect(show("markdown", { columns: ["a", "longname"], rows: [[1n, "x"], [2n, "a|b"]] })).toBe(
    lines(
      "| a | longname |",
      "|---|----------|",
      "| 1 | x        |",
      "| 2 | a|b      |",
    ),
  );
});

test("json mode", () => {
  expect(show("json", ROWS)).toBe(lines(
    `[{"id":1,"na me":"a,b","r":1.0,"b":"\\u0000\\u0001\ufffd"},`,
    `{"id":2,"na me":"it's \\"q\\"","r":1.0e+100,"b":null},`,
    `{"id":9007199254740993,"na me":null,"r":3.1400000000000001243,"b":""},`,
    `{"id":4,"na me":"","r":-1.4999999999999999321e-07,"b":"x'y"}]`,
  ));
  const special: Rows = {
    columns: ["x"],
    rows: [["a\x01b\b\f\r\t/\x7fé"], [Infinity], [-Infinity]],
  };
  expect(show("json", special)).toBe(
    `[{"x":"a\\u0001b\\b\\f\\r\\t/\x7fé"},\n{"x":1e999},\n{"x":-1e999}]\n`,
  );
});

test("jsonl mode has one object on each line", () => {
  const parsed = show("jsonl", LINES).trim().split("\n").map((line) => JSON.parse(line));
  expect(parsed).toEqual([
    { x: "one\ntwo\tend", name: null },
    { x: "back\\slash", name: "c\r\nd" },
  ]);
});

test("quote mode", () => {
  expect(show("quote", ROWS)).toBe(lines(
    "'id','na me','r','b'",
    "1,'a,b',1.0,X'0001ff'",
    `2,'it''s "q"',1.0e+100,NULL`,
    "9007199254740993,NULL,3.1400000000000001243,X''",
    "4,'',-1.4999999999999999321e-07,'x''y'",
  ));
});

test("insert mode writes statements that can be run again", () => {
  expect(show("insert", ROWS, { headers: false })).toBe(lines(
    `INSERT INTO "table" VALUES(1,'a,b',1.0,X'0001ff');`,
    `INSERT INTO "table" VALUES(2,'it''s "q"',1.0e+100,NULL);`,
    `INSERT INTO "table" VALUES(9007199254740993,NULL,3.1400000000000001243,X'');`,
    `INSERT INTO "table" VALUES(4,'',-1.4999999999999999321e-07,'x''y');`,
  ));
  const odd: Rows = {
    columns: ["select", "A b", "ab1"],
    rows: [["a\rb", "c\nd\\n", "e\r\nf"], [Infinity, -Infinity, 0]],
  };
  expect(show("insert", odd, { table: "t" })).toBe(lines(
    `INSERT INTO t("select","A b",ab1) VALUES(replace('a\\rb','\\r',char(13)),` +
      `replace('c\\012d\\n','\\012',char(10)),` +
      `replace(replace('e\\r\\nf','\\r',char(13)),'\\n',char(10)));`,
    `INSERT INTO t("select","A b",ab1) VALUES(1e999,-1e999,0.0);`,
  ));
});

test("line mode", () => {
  expect(show("line", { columns: ["a", "bbbbbbbbb"], rows: [[1n, "x\ny"], [2n, null]] })).toBe(
    lines("        a = 1", "bbbbbbbbb = x", "y", "", "        a = 2", "bbbbbbbbb = "),
  );
  expect(show("line", { columns: ["a"], rows: [[1n]] })).toBe("    a = 1\n");
});

test("a result without rows shows nothing in any mode", () => {
  const modes: ModeName[] = ["box", "column", "csv", "insert", "json", "line", "list", "table"];
  for (const mode of modes) expect(show(mode, { columns: ["a"], rows: [] })).toBe("");
});

test("wide characters and marks keep columns in line", () => {
  expect(["a", "日本", "é", "e\u0301", "👍🏽", "👨‍👩‍👧", "ﬀ", "한", "\u200b"].map(textWidth))
    .toEqual([1, 4, 1, 1, 2, 2, 1, 2, 0]);
  expect(show("table", { columns: ["x"], rows: [["日本"], ["abcd"]] }).split("\n")[3])
    .toBe("| 日本 |");
});

test("REAL values print as SQLite prints them", () => {
  const cases: [number, string, string][] = [
    [0, "0.0", "0.0"],
    [-0, "0.0", "0.0"],
    [1, "1.0", "1.0"],
    [100, "100.0", "100.0"],
    [0.1, "0.1", "0.10000000000000000555"],
    [0.3, "0.3", "0.29999999999999998889"],
    [0.5, "0.5", "0.5"],
    [1e14, "100000000000000.0", "100000000000000.0"],
    [1e15, "1.0e+15", "1000000000000000.0"],
    [123456789012345, "123456789012345.0", "123456789012345.0"],
    [1234567890123456, "1.23456789012346e+15", "1234567890123456.0"],
    [1e19, "1.0e+19", "10000000000000000000.0"],
    [1e20, "1.0e+20", "1.0e+20"],
    [0.0001, "0.0001", "0.00010000000000000000479"],
    [0.00001, "1.0e-05", "1.0000000000000000817e-05"],
    [2.5e-5, "2.5e-05", "2.5000000000000001196e-05"],
    [1e-300, "1.0e-300", "1.000000000000000025e-300"],
    [5e-324, "4.94065645841247e-324", "4.9406564584124654428e-324"],
    [Number.MAX_VALUE, "1.79769313486232e+308", "1.7976931348623156223e+308"],
    [7.86580366136874e178, "7.86580366136874e+178", "7.8658036613687393363e+178"],
    [-6.696941342524655e113, "-6.69694134252465e+113", "-6.6969413425246549853e+113"],
    [Infinity, "Inf", "Inf"],
    [-Infinity, "-Inf", "-Inf"],
  ];
  for (const [value, short, exact] of cases) {
    expect([value, realText(value, 15), realText(value, 20)]).toEqual([value, short, exact]);
  }
});
