/** build.sh: what it says, and what the library it builds is able to do. */
import { beforeAll, expect, test } from "bun:test";
import { CString, dlopen, FFIType } from "bun:ffi";
import { readFileSync, readlinkSync } from "node:fs";
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
