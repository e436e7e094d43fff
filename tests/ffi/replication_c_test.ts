/**
 * Runs the C test programs of ffi/sqlite3/tests: on the objects of the library (release), and with
 * SQLite's assertions and the sanitizers on (checked).
 */
import { beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const BUILD_TIMEOUT_MS = 900_000;
const RUN_TIMEOUT_MS = 60_000;

function run(command: string[]): { status: number; out: string; err: string } {
  const done = Bun.spawnSync(command, { cwd: ROOT, timeout: BUILD_TIMEOUT_MS });
  return { status: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
}

function runProgram(variant: string, name: string, ...args: string[]): void {
  const { status, out, err } = run([join("build/tests", variant, name), ...args]);
  if (status !== 0) throw new Error(`${variant}/${name} exited with ${status}\n${out}${err}`);
  expect(out).toMatch(/\d+ cases passed/);
  expect(out).not.toContain("\n0 cases passed");
}

beforeAll(() => {
  const { status, err } = run(["./build.sh", "programs"]);
  if (status !== 0) throw new Error(`build.sh programs failed\n${err}`);
}, BUILD_TIMEOUT_MS);

for (const variant of ["release", "checked"]) {
  test(`capture, apply, rewind and checkpoint hold in every case (${variant})`, () => {
    runProgram(variant, "replication_test");
  }, RUN_TIMEOUT_MS);

  test(`page hashes find and mend what is damaged (${variant})`, () => {
    runProgram(variant, "integrity_test");
  }, RUN_TIMEOUT_MS);

  test(`a session is refused what would harm replication (${variant})`, () => {
    runProgram(variant, "session_test");
  }, RUN_TIMEOUT_MS);

  test(`threads see consistent snapshots while leadership falls (${variant})`, () => {
    runProgram(variant, "threads_test", "2");
  }, RUN_TIMEOUT_MS);

  test(`random histories leave identical pages on every node (${variant})`, () => {
    runProgram(variant, "soak_test", "3");
  }, RUN_TIMEOUT_MS);
}

test("without replication the patched library leaves the same bytes as SQLite", () => {
  const outputs: Record<string, { out: string; database: string; wal: string }> = {};
  for (const variant of ["vanilla", "release"]) {
    const folder = mkdtempSync(join(tmpdir(), "dqlite-script-"));
    try {
      const { status, out } = run([join("build/tests", variant, "script"), folder]);
      expect(status).toBe(0);
      outputs[variant] = {
        out,
        database: Bun.hash(readFileSync(join(folder, "script.db"))).toString(),
        wal: Bun.hash(readFileSync(join(folder, "copied-wal"))).toString(),
      };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  expect(outputs["release"]).toEqual(outputs["vanilla"]!);
  expect(outputs["vanilla"]!.out).toContain("ok|\n");
});
