/**
 * The rules of taste that a program can check. Every problem is told as
 * `path:line: what is wrong: what to do`.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { arrowProblems, cycleProblems, edgesOf, layerProblems, parseLayers } from "./tidy/graph.ts";
import { lineAt, parseSource, type SourceFile } from "./tidy/source_file.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const LINES_MAX = 500;
const COLUMNS_MAX = 100;
const FUNCTION_LINES_MAX = 70;
const PURE = ["lib/base/", "lib/raft/", "lib/wire/"];
/** What a run of the simulator is made of: time and chance come from its seed alone. */
const SIMULATED = [
  "lib/raft/",
  "lib/wire/",
  "lib/log/",
  "lib/replica/",
  "lib/cluster/membership.ts",
  "tests/simulator/",
];
/** They run the simulator, from outside. */
const AROUND_SIMULATOR = [
  "tests/simulator/main.ts",
  "tests/simulator/mutation.ts",
  "tests/simulator/pool.ts",
  "tests/simulator/simulator_test.ts",
];
/** Only here may a runtime be named. */
const EDGES = ["ffi/", "lib/io/", "tests/"];
/** Started by name, not imported. */
const ENTRIES = ["cli.ts", "mod.ts", "ffi/embed_bun.ts", "lib/demo/pack_cities.ts"];

const files = listFiles().map((path) => parseSource(path, readFileSync(ROOT + path, "utf8")));
const product = files.filter((file) => !file.path.startsWith("tests/"));

function listFiles(): string[] {
  const paths = ["mod.ts", "cli.ts"].filter((path) => existsSync(ROOT + path));
  for (const folder of ["ffi", "lib", "tests"]) {
    for (const name of readdirSync(ROOT + folder, { recursive: true }) as string[]) {
      if (name.endsWith(".ts")) paths.push(`${folder}/${name}`);
    }
  }
  return paths.sort();
}

function startsWithAny(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path.startsWith(folder));
}

/** Problems of the form `path:line: what` for every match of `pattern` in the code of `file`. */
function matches(file: SourceFile, pattern: RegExp, tell: (found: string) => string): string[] {
  return [...file.code.matchAll(pattern)].map((found) => {
    const line = lineAt(file.code, found.index + found[0].search(/\S/));
    return `${file.path}:${line}: ${tell(found[0].trim())}`;
  });
}

function expectNone(problems: readonly string[]): void {
  expect(problems.join("\n")).toBe("");
}

test("imports point down the table of layers in ARCHITECTURE.md", () => {
  const layers = parseLayers(readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8"));
  expect(layers.size).toBeGreaterThan(10);
  expectNone([...layerProblems(layers), ...arrowProblems(edgesOf(files), layers)]);
});

test("no files import each other in a circle, types included", () => {
  expectNone(cycleProblems(edgesOf(files)));
});

test("every relative import names a file that is there, with its .ts", () => {
  expectNone(
    edgesOf(files)
      .filter((edge) => !existsSync(ROOT + edge.to))
      .map((edge) => `${edge.from}:${edge.line}: imports ${edge.to}, which does not exist`),
  );
});

test("pure folders hold no clock, chance, promise, input or output", () => {
  const names = "Date\\.now new\\s+Date performance\\.now Math\\.random setTimeout setInterval " +
    "setImmediate queueMicrotask fetch Promise async await console crypto Bun Deno process";
  const impure = new RegExp(`\\b(?:${names.replaceAll(" ", "|")})\\b`, "g");
  const pure = files.filter((file) => startsWithAny(file.path, PURE));
  expect(pure.length).toBeGreaterThan(5);
  expectNone(pure.flatMap((file) =>
    matches(file, impure, (found) => {
      return `${found} in a pure folder: take the result as an argument`;
    })
  ));
});

test("what the simulator runs asks nobody but it for time and chance", () => {
  const names = "Date\\.now new\\s+Date performance\\.now Math\\.random setTimeout setInterval " +
    "setImmediate queueMicrotask crypto";
  const outside = new RegExp(`\\b(?:${names.replaceAll(" ", "|")})\\b`, "g");
  const simulated = files.filter(({ path }) => {
    return startsWithAny(path, SIMULATED) && !startsWithAny(path, AROUND_SIMULATOR);
  });
  expect(simulated.length).toBeGreaterThan(60);
  expectNone(simulated.flatMap((file) =>
    matches(file, outside, (found) => {
      return `${found} in a simulated run: ask the clock or the random source that is passed in`;
    })
  ));
});

test("runtimes are named only at the edges", () => {
  const inner = files.filter((file) => !startsWithAny(file.path, EDGES));
  expectNone(inner.flatMap((file) => [
    ...matches(file, /\b(?:Bun|Deno)\b/g, (found) => `${found} outside the edge: use lib/io`),
    ...file.strings
      .filter((one) => /^(?:node|bun):/.test(one.specifier))
      .map((one) => `${file.path}:${one.line}: ${one.specifier} outside the edge: use lib/io`),
  ]));
});

test("files, lines and functions keep to their sizes", () => {
  const problems: string[] = [];
  for (const file of files) {
    const lines = file.text.trimEnd().split("\n");
    if (lines.length > LINES_MAX) {
      problems.push(`${file.path}:1: ${lines.length} lines, over ${LINES_MAX}: split it`);
    }
    for (const [i, line] of lines.entries()) {
      const columns = [...line].length;
      if (columns > COLUMNS_MAX) {
        problems.push(`${file.path}:${i + 1}: ${columns} columns, over ${COLUMNS_MAX}: break it`);
      }
    }
  }
  for (const file of product) problems.push(...longFunctions(file));
  expectNone(problems);
});

/** Functions, methods and arrow functions whose body is too long. */
function longFunctions(file: SourceFile): string[] {
  const problems: string[] = [];
  const open: { line: number; isFunction: boolean }[] = [];
  let line = 1;
  for (let at = 0; at < file.code.length; at++) {
    const char = file.code[at];
    if (char === "\n") line++;
    else if (char === "{") open.push({ line, isFunction: opensFunction(file.code, at) });
    else if (char === "}") {
      const block = open.pop();
      const lines = block === undefined ? 0 : line - block.line + 1;
      if (block?.isFunction && lines > FUNCTION_LINES_MAX) {
        problems.push(
          `${file.path}:${block.line}: a function of ${lines} lines, over ${FUNCTION_LINES_MAX}: ` +
            "name its parts",
        );
      }
    }
  }
  return problems;
}

function opensFunction(code: string, brace: number): boolean {
  const head = code.slice(Math.max(0, code.lastIndexOf("\n", brace - 1)), brace);
  if (/=>\s*$/.test(head)) return true;
  if (/\b(?:if|for|while|switch|catch|class|interface)\b/.test(head)) return false;
  return /\)\s*(?::[^=;]+)?$/.test(head);
}

test("what is banned from the language stays out", () => {
  const bans: readonly (readonly [RegExp, string])[] = [
    [/\bexport\s+default\b/g, "a default export: name it"],
    [/(?:^|\n)\s*(?:export\s+)?(?:const\s+)?enum\s+\w/g, "an enum: use a union of literals"],
    [/(?:^|\n)\s*(?:export\s+)?(?:declare\s+)?namespace\s+\w/g, "a namespace: use a module"],
    [/[(,]\s*(?:public|private|protected|readonly)\s+\w+\s*[:,)]/g, "a parameter property"],
    [/\b(?:private|protected|public)\s+(?!constructor)[\w\s]+[(:=]/g, "use #private"],
  ];
  const problems = files.flatMap((file) =>
    bans.flatMap(([pattern, what]) => matches(file, pattern, (found) => `${found}: ${what}`))
  );
  const typed = product.filter((file) => !file.path.startsWith("ffi/"));
  for (const file of typed) {
    problems.push(
      ...matches(file, /(?::|\bas|<|\||,)\s*any\b(?!\s*[(:])/g, () => "any: say the type"),
    );
  }
  for (const file of files) {
    for (const found of file.text.matchAll(/\b(?:TO)DO\b|\bFIX(?:ME)\b|\bX{3}\b/g)) {
      const line = lineAt(file.text, found.index);
      problems.push(`${file.path}:${line}: ${found[0]}: do it, or write an issue`);
    }
    problems.push(
      ...matches(file, /\b(?:test|describe|it)\.(?:skip|only|todo)\b/g, (found) => {
        return `${found}: a test runs or is not there`;
      }),
    );
  }
  expectNone(problems);
});

test("files are named after what they hold", () => {
  const problems: string[] = [];
  for (const { path } of files) {
    const names = path.replace(/\.ts$/, "").split("/");
    if (names.some((name) => /^(?:utils?|helpers?|misc|common)$/.test(name))) {
      problems.push(`${path}:1: says nothing of its content: name it after a noun`);
    }
    if (!/^[a-z0-9_]+$/.test(names.at(-1)!)) problems.push(`${path}:1: not in snake_case: rename`);
    if (basename(path) === "index.ts") problems.push(`${path}:1: a barrel: import the file itself`);
  }
  expectNone(problems);
});

test("every file is used by another", () => {
  const used = new Set(edgesOf(files).map((edge) => edge.to));
  for (const file of files) {
    for (const { specifier } of file.strings) {
      if (!specifier.endsWith(".ts")) continue;
      used.add(posix.normalize(posix.join(dirname(file.path), specifier)));
      used.add(posix.normalize(specifier));
    }
  }
  expectNone(
    product
      .filter((file) => !used.has(file.path) && !ENTRIES.includes(file.path))
      .map((file) => `${file.path}:1: imported by nobody: use it or delete it`),
  );
});

test("the rules find what they are for", () => {
  const file = parseSource(
    "lib/raft/bad.ts",
    [
      'import { a } from "../io/clock.ts";',
      'import type { b } from "./good.ts"; // from "./comment.ts"',
      "const text = `import \"./no.ts\" ${f({ x: 'Date.now' })} }`;",
      "const ratio = a / b / c; const pattern = /[/\"']/;",
      'const worker = await import("./worker.ts");',
    ].join("\n"),
  );
  expect(file.imports).toEqual([
    { specifier: "../io/clock.ts", line: 1 },
    { specifier: "./good.ts", line: 2 },
    { specifier: "./worker.ts", line: 5 },
  ]);
  expect(file.code).not.toContain("Date.now");
  expect(file.code).toContain("a / b / c");
  const good = parseSource("lib/raft/good.ts", 'import "./bad.ts";');
  const edges = edgesOf([file, good]);
  const layers = parseLayers(
    "<!-- layers -->\n| `lib/io` | `lib/raft` |\n| `lib/raft` | |\n<!-- /layers -->",
  );
  expect(arrowProblems(edges, layers)).toEqual([
    "lib/raft/bad.ts:1: lib/raft imports lib/io (lib/io/clock.ts): " +
    "move what is shared further down",
  ]);
  expect(cycleProblems(edges)).toHaveLength(1);
  expect(layerProblems(new Map([["a", ["b"]], ["b", ["a"]]]))).toHaveLength(1);
  const long = parseSource("lib/x.ts", `function f(): void {\n${"x;\n".repeat(80)}}`);
  expect(longFunctions(long)).toHaveLength(1);
});
