import { expect, test } from "bun:test";
import { APPLY_SPACE_RETRY_MS } from "../../lib/base/limits.ts";
import { sqliteError } from "../../lib/database/sqlite_error.ts";
import { ApplySpace } from "../../lib/replica/apply_space.ts";
import { Loop } from "../log/harness.ts";

const SQLITE_FULL = 13;
const SQLITE_IOERR_WRITE = 778;

test("without space, applying is held back, tried again, and told once", () => {
  const loop = new Loop();
  const told: string[] = [];
  let paused = 0;
  const pause = () => {
    paused++;
    return () => void paused--;
  };
  const space = new ApplySpace(loop.clock, { onApplySpace: (state) => told.push(state) });
  for (let attempt = 1; attempt <= 2; attempt++) {
    expect(space.failed(sqliteError(SQLITE_FULL, "full"), pause)).toBe(true);
    expect(paused).toBe(1);
    loop.pass(APPLY_SPACE_RETRY_MS - 1);
    expect(paused).toBe(1);
    loop.pass(1);
    expect(paused).toBe(0);
  }
  expect(told).toEqual(["low"]);
  space.applied();
  space.applied();
  expect(told).toEqual(["low", "ok"]);
});

test("any other failure is not waited for", () => {
  const space = new ApplySpace(new Loop().clock, {});
  const pause = () => expect.unreachable();
  expect(space.failed(sqliteError(SQLITE_IOERR_WRITE, "disk I/O error"), pause)).toBe(false);
  expect(space.failed(new Error("a fault"), pause)).toBe(false);
});
