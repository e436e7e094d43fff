import { expect, test } from "bun:test";

import { createLog, type LogOptions, silentLog, withFields } from "../../lib/observe/log.ts";

function lines(options: Partial<LogOptions>, use: (log: ReturnType<typeof createLog>) => void) {
  const written: string[] = [];
  const write = (line: string) => void written.push(line);
  use(createLog({ level: "info", format: "text", wallMs: () => 0, write, ...options }));
  return written;
}

test("a line of text has time, level, message and fields", () => {
  expect(lines({}, (log) => log.warn("peer is gone", { peer: 3, address: "a:1", why: "no route" })))
    .toEqual(['1970-01-01T00:00:00.000Z WARN  peer is gone peer=3 address=a:1 why="no route"\n']);
});

test("a line of JSON can be read back", () => {
  const [line] = lines({ format: "json" }, (log) => log.error("x", { id: 2n ** 60n, none: null }));
  expect(JSON.parse(line!)).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    level: "error",
    message: "x",
    id: "1152921504606846976",
    none: null,
  });
});

test("levels below the lowest are dropped", () => {
  const used = (level: LogOptions["level"]) =>
    lines({ level }, (log) => {
      log.debug("d");
      log.info("i");
      log.warn("w");
      log.error("e");
    }).map((line) => line.trim().at(-1));
  expect(used("debug")).toEqual(["d", "i", "w", "e"]);
  expect(used("warn")).toEqual(["w", "e"]);
});

test("a fact never takes more than one line, nor hides what every line has", () => {
  expect(lines({}, (log) => log.info("a\nb", { c: "d\ne", f: undefined }))).toEqual([
    '1970-01-01T00:00:00.000Z INFO  a\\nb c="d\\ne"\n',
  ]);
  const [line] = lines({ format: "json" }, (log) => log.info("m", { time: "t", level: 1 }));
  expect(JSON.parse(line!)).toMatchObject({ level: "info", message: "m", time_: "t", level_: 1 });
});

test("fields of a part of the program go on each of its lines", () => {
  expect(lines({}, (log) => withFields(log, { node: 1 }).info("m", { a: 2 }))[0])
    .toContain("m node=1 a=2");
  silentLog.error("nothing happens");
});
