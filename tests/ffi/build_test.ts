/** build.sh: what it says, and what the library it builds is able to do. */
import { beforeAll, expect, test } from "bun:test";
import { CString, dlopen, FFIType } from "bun:ffi";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const BUILD_TIMEOUT_MS = 900_000;

function build(...args: string[]): { status: number; err: string } {
  const done = Bun.spawnSync([join(ROOT, "build.sh"), ...args], { cwd: "/" });
  return { status: done.exitCode, err: done.stderr.toString() };
}

beforeAll(() => {
  const { status, err } = build("library");
  if (status !== 0) throw new Error(`build.sh library failed\n${err}`);
}, BUILD_TIMEOUT_MS);

test("building again does nothing", () => {
  const before = readlinkSync(join(ROOT, "build/libsqlite3.so"));
  expect(build("library")).toEqual({ status: 0, err: "" });
  expect(readlinkSync(join(ROOT, "build/libsqlite3.so"))).toBe(before);
});

test("an unknown command is refused with the ones there are", () => {
  const { status, err } = build("libary");
  expect(status).toBe(1);
  expect(err).toContain("unknown command 'libary': use library,");
});

/** Runs build.sh in a copy of its inputs, on a PATH of few programs and the scripts given. */
function buildOnBareMachine(scripts: Record<string, string>): { status: number; err: string } {
  const folder = mkdtempSync(join(tmpdir(), "dqlite-build-"));
  try {
    const bin = join(folder, "bin");
    mkdirSync(bin);
    mkdirSync(join(folder, "node_modules"));
    for (const name of ["awk", "bash", "basename", "cut", "dirname", "mkdir", "sha256sum"]) {
      symlinkSync(Bun.which(name)!, join(bin, name));
    }
    for (const [name, text] of Object.entries(scripts)) {
      writeFileSync(join(bin, name), `#!${Bun.which("sh")}\n${text}\n`, { mode: 0o755 });
    }
    for (const name of ["build.sh", "package.json", "bun.lock"]) {
      copyFileSync(join(ROOT, name), join(folder, name));
    }
    cpSync(join(ROOT, "ffi/sqlite3"), join(folder, "ffi/sqlite3"), { recursive: true });
    const done = Bun.spawnSync([Bun.which("bash")!, join(folder, "build.sh"), "library"], {
      cwd: folder,
      env: { PATH: bin },
    });
    return { status: done.exitCode, err: done.stderr.toString() };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("without Bun and npm it says what to install", () => {
  const { status, err } = buildOnBareMachine({});
  expect(status).toBe(1);
  expect(err).toContain("Bun 1.4 or newer is needed");
  expect(err).toContain("install npm");
});

test("a Bun that is too old counts as none", () => {
  const { status, err } = buildOnBareMachine({ bun: "echo 1.3.9" });
  expect(status).toBe(1);
  expect(err).toContain("Bun 1.4 or newer is needed");
});

test("with Bun but no C compiler it says what to install", () => {
  const { status, err } = buildOnBareMachine({ bun: "echo 1.4.0" });
  expect(status).toBe(1);
  expect(err).toContain("a C compiler is needed: install gcc or clang");
});

test("an amalgamation that is not the pinned one is refused", () => {
  const install = `echo 1.4.0
    mkdir -p node_modules/better-sqlite3/deps/sqlite3
    echo "int other;" >node_modules/better-sqlite3/deps/sqlite3/sqlite3.c`;
  const { status, err } = buildOnBareMachine({ bun: install, cc: "exit 0" });
  expect(status).toBe(1);
  expect(err).toContain("does not match the hashes in ffi/sqlite3/VERSION");
});

test("the library is the SQLite of VERSION with the options that are promised", () => {
  const library = dlopen(join(ROOT, "build/libsqlite3.so"), {
    sqlite3_libversion: { returns: FFIType.ptr },
    sqlite3_compileoption_used: { args: [FFIType.ptr], returns: FFIType.i32 },
    sqlite3_wal_replication_open: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  });
  const uses = (option: string) =>
    library.symbols.sqlite3_compileoption_used(new TextEncoder().encode(`${option}\0`)) === 1;
  const version = /^version (\S+)$/m.exec(
    readFileSync(join(ROOT, "ffi/sqlite3/VERSION"), "utf8"),
  );
  const pointer = library.symbols.sqlite3_libversion();
  expect(pointer === null ? "" : new CString(pointer).toString()).toBe(version![1]!);
  const options = [
    "ENABLE_FTS5",
    "ENABLE_RTREE",
    "ENABLE_GEOPOLY",
    "ENABLE_MATH_FUNCTIONS",
    "ENABLE_STAT4",
    "ENABLE_SESSION",
    "ENABLE_PREUPDATE_HOOK",
    "ENABLE_DBSTAT_VTAB",
    "ENABLE_DBPAGE_VTAB",
    "ENABLE_COLUMN_METADATA",
    "ENABLE_SNAPSHOT",
    "THREADSAFE=2",
    "MAX_VARIABLE_NUMBER=250000",
  ];
  expect(options.filter((option) => !uses(option))).toEqual([]);
  expect(uses("OMIT_DESERIALIZE") || uses("OMIT_JSON") || uses("DQS=0")).toBe(false);
});
