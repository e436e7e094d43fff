import { expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { extract, libraryPath, openLibrary } from "../../ffi/open.ts";
import { DatabaseError } from "../../lib/base/errors.ts";

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "dqlite-open-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const bytes = new TextEncoder().encode("stands for a library");

async function errorOf(action: () => unknown): Promise<DatabaseError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
}

/** Runs a line of code in a process of its own, where no library is loaded yet. */
async function run(line: string, env: Record<string, string>): Promise<string> {
  const url = new URL("../../ffi/open.ts", import.meta.url).href;
  const code = `import { libraryPath, openLibrary } from "${url}";
    try { console.log(${line}) } catch (e) { console.log(e.code, e.message, "|", e.hint) }`;
  const child = Bun.spawn([process.execPath, "-e", code], {
    stdout: "pipe",
    env: { ...process.env, ...env },
  });
  return (await new Response(child.stdout).text()).trim();
}

test("the library is extracted once, under the name of its content", () => {
  using folder = new Folder();
  const path = extract(bytes, folder.path);
  expect(path).toMatch(/\/dqlite-\d+\/libsqlite3-[0-9a-f]{64}\.so$/);
  expect(readFileSync(path)).toEqual(Buffer.from(bytes));
  const { ino } = statSync(path);
  expect(extract(bytes, folder.path)).toBe(path);
  expect(statSync(path).ino).toBe(ino);
  const other = extract(bytes.slice(1), folder.path);
  expect(other).not.toBe(path);
  expect(readdirSync(join(path, ".."))).toHaveLength(2);
  expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);
});

test("a damaged file is replaced", () => {
  using folder = new Folder();
  const path = extract(bytes, folder.path);
  chmodSync(path, 0o700);
  writeFileSync(path, "something else");
  expect(extract(bytes, folder.path)).toBe(path);
  expect(readFileSync(path)).toEqual(Buffer.from(bytes));
});

test("a folder that others could write to is not used", async () => {
  using folder = new Folder();
  const path = extract(bytes, folder.path);
  chmodSync(join(path, ".."), 0o777);
  const error = await errorOf(() => extract(bytes, folder.path));
  expect(error.code).toBe("CONFIG");
  expect(error.message).toContain("that nobody else can write to");
});

test("a link in place of the folder is not followed", async () => {
  using folder = new Folder();
  const target = join(folder.path, "target");
  mkdirSync(target, { mode: 0o700 });
  symlinkSync(target, join(folder.path, `dqlite-${process.getuid!()}`));
  expect((await errorOf(() => extract(bytes, folder.path))).code).toBe("CONFIG");
  expect(readdirSync(target)).toEqual([]);
});

test("a parent folder that is missing is told", async () => {
  using folder = new Folder();
  const error = await errorOf(() => extract(bytes, join(folder.path, "missing")));
  expect(error.code).toBe("CONFIG");
  expect(error.hint).toContain("TMPDIR");
});

test("one thread loads one library", async () => {
  const library = await openLibrary();
  expect(await openLibrary()).toBe(library);
  expect(await openLibrary(library.path)).toBe(library);
  expect(libraryPath()).toBe(library.path);
  expect(library.c.sqlite3_libversion_number()).toBeGreaterThanOrEqual(3_051_003);
  const error = await errorOf(() => openLibrary("/elsewhere.so"));
  expect(error.message).toBe(
    `Cannot load /elsewhere.so: this process uses ${library.path} already`,
  );
});

test("a library that is missing or no library is told, with what to do", async () => {
  using folder = new Folder();
  const missing = join(folder.path, "missing.so");
  expect(await run("libraryPath()", { DQLITE_LIBRARY: missing })).toBe(
    `CONFIG Cannot load the SQLite library: there is no ${missing} | ` +
      "The path is DQLITE_LIBRARY. Run ./build.sh library to make the library",
  );
  const text = join(folder.path, "text.so");
  writeFileSync(text, "no library");
  const answer = await run("await openLibrary()", { DQLITE_LIBRARY: text });
  expect(answer).toStartWith(`CONFIG Cannot load the SQLite library ${text}: `);
  expect(answer).toEndWith("| Run ./build.sh library to make the library anew");
});

test("a failed attempt does not stand in the way of the next", async () => {
  using folder = new Folder();
  const text = join(folder.path, "text.so");
  writeFileSync(text, "no library");
  const line = `await openLibrary("${text}").catch(() => openLibrary("${libraryPath()}"))
    .then((library) => library.path)`;
  expect(await run(line, {})).toBe(libraryPath());
});
