import { expect, test } from "bun:test";

import { splitCommand } from "../../lib/shell/command_line.ts";
import { complete } from "../../lib/shell/complete.ts";
import { History } from "../../lib/shell/history.ts";
import { ShellError } from "../../lib/shell/host.ts";

const NAMES = { tables: ["people", "my table", "Order"], columns: ["person_id", "name"] };

test("completion offers what may stand there", () => {
  const offered = (line: string) => complete(line, NAMES);
  expect(offered("SEL")).toEqual([["SELECT"], "SEL"]);
  expect(offered("sel")).toEqual([["select"], "sel"]);
  expect(offered("select pe")).toEqual([["people", "person_id"], "pe"]);
  expect(offered("select * from ")).toEqual([['"Order"', '"my table"', "people"], ""]);
  expect(offered("update peo")).toEqual([["people"], "peo"]);
  expect(offered("select ")).toEqual([[], ""]);
  expect(offered(".sch")).toEqual([["schema"], "sch"]);
  expect(offered(".mode mark")).toEqual([["markdown"], "mark"]);
  expect(offered(".schema peo")).toEqual([["people"], "peo"]);
  expect(offered(".read peo")).toEqual([[], "peo"]);
});

test("a command is split into words, with quotes", () => {
  expect(splitCommand("mode  csv ")).toEqual(["mode", "csv"]);
  expect(splitCommand(`nullvalue "a \\"b\\"\\n" 'c "d' ''`)).toEqual([
    "nullvalue",
    'a "b"\n',
    'c "d',
    "",
  ]);
  expect(splitCommand("")).toEqual([]);
  for (const open of ["read 'a", 'read "a', 'read "a\\"']) {
    expect(() => splitCommand(open)).toThrow(ShellError);
  }
});

test("the history keeps its newest entries, newlines included", () => {
  let content: string | undefined;
  const file = { read: () => content, write: (text: string) => void (content = text) };
  const history = new History(file);
  history.add("select 'a\nb\\n';");
  history.add("select 'a\nb\\n';");
  history.add("");
  expect(new History(file).entries).toEqual(["select 'a\nb\\n';"]);
  const other = new History(file);
  other.add("other");
  history.add("mine");
  expect(new History(file).entries).toEqual(["mine", "other", "select 'a\nb\\n';"]);
  for (let i = 0; i < 1_100; i++) history.add(`select ${i};`);
  expect(new History(file).entries.length).toBe(1_000);
  expect(new History(file).entries[0]).toBe("select 1099;");
});

test("a history that cannot be written works for its session", () => {
  const history = new History({
    read: () => undefined,
    write: () => {
      throw new Error("read-only");
    },
  });
  history.add("a");
  history.add("b");
  expect(history.entries).toEqual(["b", "a"]);
});
