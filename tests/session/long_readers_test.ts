import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import { expect, test } from "bun:test";
import type { DatabaseError } from "../../lib/base/errors.ts";
import { BACKUP_WAL_FRAMES_MAX, WAL_FRAMES_MAX } from "../../lib/base/limits.ts";
import { WAL_READER_END_MS, WAL_READER_WARN_MS } from "../../lib/base/limits.ts";
import type { Clock } from "../../lib/io/clock.ts";
import { LongReaders, type Reader } from "../../lib/session/long_readers.ts";
import { Lines } from "../node/lines.ts";

/** Readers that began at these times, and what becomes of them. */
function fixture(...beganMs: number[]) {
  const lines = new Lines();
  const ended: string[] = [];
  const state = { nowMs: 0, walFrames: 10 };
  const clock = { nowMs: () => state.nowMs } as Clock;
  const readers = (): Reader[] =>
    beganMs.map((sinceMs) => ({
      databaseId: 1,
      key: `stream ${sinceMs}`,
      sinceMs,
      sql: "SELECT 1",
      end: (error: DatabaseError) => void ended.push(`${sinceMs} ${error.code}`),
    })).filter(({ sinceMs }) => !ended.some((one) => one.startsWith(`${sinceMs} `)));
  const walFrames = () => state.walFrames;
  const long = new LongReaders({ clock, log: lines, readers, walFrames });
  const look = (nowMs: number) => {
    state.nowMs = nowMs;
    long.look();
    return lines.with("a reader keeps the WAL").map(({ reader }) => reader);
  };
  return { look, ended, state };
}

test("a reader is told of once, and ended later", () => {
  const { look, ended } = fixture(0, 5_000);
  expect(look(WAL_READER_WARN_MS - 1)).toEqual([]);
  expect(look(WAL_READER_WARN_MS)).toEqual(["stream 0"]);
  expect(look(WAL_READER_WARN_MS + 1)).toEqual(["stream 0"]);
  expect(look(WAL_READER_WARN_MS + 5_000)).toEqual(["stream 0", "stream 5000"]);
  expect(look(WAL_READER_END_MS - 1).length).toBe(2);
  expect(ended).toEqual([]);
  look(WAL_READER_END_MS);
  expect(ended).toEqual(["0 TRANSACTION_TIMEOUT"]);
  look(WAL_READER_END_MS + 5_000);
  expect(ended).toEqual(["0 TRANSACTION_TIMEOUT", "5000 TRANSACTION_TIMEOUT"]);
});

test("a WAL that is very large makes for less patience", () => {
  const { look, ended, state } = fixture(0);
  state.walFrames = WAL_FRAMES_MAX + 1;
  look(WAL_READER_WARN_MS - 1);
  expect(ended).toEqual([]);
  look(WAL_READER_WARN_MS);
  expect(ended).toEqual(["0 TRANSACTION_TIMEOUT"]);
});

test("a backup is told of, and ended for the size of the WAL alone", () => {
  const lines = new Lines();
  const ended: string[] = [];
  let nowMs = 0;
  let frames = WAL_FRAMES_MAX + 1;
  const long = new LongReaders({
    clock: { nowMs: () => nowMs } as Clock,
    log: lines,
    readers: () => [{
      databaseId: MAIN_DATABASE_ID,
      key: "backup 1",
      sinceMs: 0,
      sql: "",
      walFramesMax: BACKUP_WAL_FRAMES_MAX,
      end: ({ code }) => void ended.push(code),
    }],
    walFrames: () => frames,
  });
  nowMs = 10 * WAL_READER_END_MS;
  long.look();
  expect(lines.with("a reader keeps the WAL").map(({ reader }) => reader)).toEqual(["backup 1"]);
  expect(ended).toEqual([]);
  frames = BACKUP_WAL_FRAMES_MAX + 1;
  long.look();
  expect(ended).toEqual(["TRANSACTION_TIMEOUT"]);
});
