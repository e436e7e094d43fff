import { expect, test } from "bun:test";

import { DatabaseError } from "../../lib/base/errors.ts";
import { editDistance, nearest } from "../../lib/base/nearest.ts";
import { ALL_OPTIONS, SERVE_OPTIONS, SHELL_OPTIONS } from "../../lib/cli/options.ts";
import { readSettings, type Sources } from "../../lib/cli/settings.ts";

function sources(given: Partial<Sources> & { file?: string }): Sources {
  return {
    flags: given.flags ?? {},
    env: given.env ?? {},
    readTextFile: (path) => {
      if (given.file !== undefined && path === "c.json") return given.file;
      throw new Error(`ENOENT: ${path}`);
    },
  };
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof DatabaseError && error.code === "CONFIG") return error.message;
    throw error;
  }
  throw new Error("It was not refused");
}

const serve = (given: Parameters<typeof sources>[0]) => readSettings(SERVE_OPTIONS, sources(given));

test("a duration is a number of days, hours or minutes", () => {
  const keep = (text: string) => serve({ flags: { "archive-keep": text } }).archiveKeep;
  expect([keep("30d"), keep("12h"), keep("90m")]).toEqual([2_592_000_000, 43_200_000, 5_400_000]);
  for (const text of ["0d", "5", "d", "1.5h", "-1d", "1w"]) {
    expect(refusal(() => keep(text))).toContain("must be a number of days, hours or minutes");
  }
});

test("without anything given, every option has its default", () => {
  expect(serve({})).toEqual({
    dir: "./dqlite-data",
    listen: "127.0.0.1:9001",
    http: "127.0.0.1:8080",
    join: [],
    from: undefined,
    archive: undefined,
    archiveKeep: undefined,
    role: "voter",
    transactionMax: 4096 * 1024 * 1024,
    advertise: undefined,
    advertiseHttp: undefined,
    logFormat: "text",
    logLevel: "info",
    config: undefined,
  });
  expect(readSettings(SHELL_OPTIONS, sources({}))).toMatchObject({
    url: ["http://127.0.0.1:8080"],
    timeout: 30,
  });
});

test("flags go before the environment, which goes before the file", () => {
  const file = '{"dir": "f", "listen": "f:1", "http": "f:2", "join": ["f:3", "f:4"]}';
  const env = { DQLITE_CONFIG: "c.json", DQLITE_DIR: "e", DQLITE_LISTEN: "e:1", DQLITE_HTTP: "" };
  const settings = serve({ flags: { dir: "flag" }, env, file });
  expect([settings.dir, settings.listen, settings.http, settings.join]).toEqual([
    "flag",
    "e:1",
    "f:2",
    ["f:3", "f:4"],
  ]);
});

test("a list is given by commas, by repetition, or as an array", () => {
  const join = ["a:1", "b:2", "c:3"];
  expect(serve({ flags: { join: ["a:1,b:2", "c:3"] } }).join).toEqual(join);
  expect(serve({ env: { DQLITE_JOIN: "a:1,b:2,c:3" } }).join).toEqual(join);
  const file = '{"join": "a:1,b:2,c:3"}';
  expect(serve({ flags: { config: "c.json" }, file }).join).toEqual(join);
});

test("a value that breaks its rule is refused by place, value and rule", () => {
  expect(refusal(() => serve({ flags: { listen: "9001" } }))).toBe(
    'Cannot use --listen "9001": must be HOST:PORT with a port from 0 to 65535, ' +
      "such as 127.0.0.1:9001",
  );
  expect(refusal(() => serve({ flags: { http: "a:65536" } }))).toContain('--http "a:65536"');
  expect(refusal(() => serve({ flags: { join: ["a:1,b"] } }))).toContain('--join "b"');
  expect(refusal(() => serve({ env: { DQLITE_LOG_LEVEL: "loud" } }))).toBe(
    'Cannot use DQLITE_LOG_LEVEL "loud": must be one of debug, info, warn, error',
  );
  const file = '{"advertise-http": "ftp://a"}';
  expect(refusal(() => serve({ flags: { config: "c.json" }, file }))).toContain(
    '"advertise-http" in c.json "ftp://a": must be an http:// or https:// URL',
  );
  const shell = (timeout: string) => readSettings(SHELL_OPTIONS, sources({ flags: { timeout } }));
  for (const bad of ["0", "-1", "1.5", "x", "86401"]) {
    expect(refusal(() => shell(bad))).toContain("must be a whole number from 1 to 86400");
  }
  expect(shell("86400").timeout).toBe(86_400);
});

test("addresses of every kind are taken", () => {
  for (const listen of ["127.0.0.1:0", "[::1]:9001", "host.example:65535", "0.0.0.0:1"]) {
    expect(serve({ flags: { listen } }).listen).toBe(listen);
  }
  for (const listen of ["", ":1", "a:", "a b:1", "::1:9001", "http://a:1", "a:1/"]) {
    refusal(() => serve({ flags: { listen } }));
  }
});

test("a config file that cannot be used is refused", () => {
  const read = (file?: string) =>
    refusal(() => serve({ flags: { config: "c.json" }, ...(file === undefined ? {} : { file }) }));
  expect(read()).toContain('Cannot read config file "c.json"');
  expect(read("{")).toContain("is not JSON");
  expect(read("[]")).toContain("one JSON object");
  expect(read('{"lisen": "a:1"}')).toBe(
    'Config file "c.json" has the unknown key "lisen"; did you mean "listen"?',
  );
  expect(read('{"listen": 5}')).toContain('"listen" in c.json 5');
  expect(read('{"config": "other.json"}')).toContain('unknown key "config"');
});

test("no two options of a command share a name, and each has a variable of its own", () => {
  for (const table of ALL_OPTIONS) {
    const options = Object.values(table);
    expect(new Set(options.map((o) => o.name)).size).toBe(options.length);
    expect(new Set(options.map((o) => o.env)).size).toBe(options.length);
    for (const option of options) expect(option.env).toMatch(/^DQLITE_[A-Z_]+$/);
  }
});

test("the nearest word is one that a slip of the finger explains", () => {
  const words = ["join", "listen", "http", "log-format"];
  const cases = [["jion", "join"], ["lisen", "listen"], ["log", "log-format"], ["htpt", "http"]];
  for (const [given, meant] of cases) expect(nearest(given!, words)).toBe(meant);
  for (const given of ["", "x", "quite-different"]) expect(nearest(given, words)).toBeUndefined();
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("ab", "ba")).toBe(1);
  expect(editDistance("", "abc")).toBe(3);
});
