import { expect, test } from "bun:test";
import type { DatabaseError } from "../../lib/base/errors.ts";
import { MEMBERS_MAX } from "../../lib/base/limits.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { initialConfiguration } from "../../lib/raft/configuration.ts";
import {
  checkpointPath,
  type CheckpointRecord,
  mendCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from "../../lib/replica/checkpoint_record.ts";

const FOLDER = "/srv/node";
const PATH = checkpointPath(FOLDER);
const FILES = [PATH, `${PATH}.copy`];
const FIRST: CheckpointRecord = { completeIndex: 7, fuzzyIndex: 7 };
const BEGUN: CheckpointRecord = { completeIndex: 7, fuzzyIndex: 90 };

function written(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.createFolder(FOLDER);
  disk.syncFolder("/srv");
  writeCheckpoint(disk, FOLDER, FIRST);
  writeCheckpoint(disk, FOLDER, BEGUN);
  return disk;
}

test("a folder without the record has applied nothing", () => {
  const { record, problems } = mendCheckpoint(new MemoryDisk(), FOLDER);
  expect(record).toEqual({ completeIndex: 0, fuzzyIndex: 0 });
  expect(problems).toEqual([]);
});

test("any byte of one file of the record may change: it is mended from the other", () => {
  const disk = written();
  const size = disk.open(PATH, { create: false }).size();
  for (const path of FILES) {
    for (let offset = 0; offset < size; offset++) {
      for (const flip of [1, 0x80, 0xff]) {
        const copy = disk.crash(() => false);
        copy.damage(path, offset, (byte) => byte ^ flip);
        expect(readCheckpoint(copy, FOLDER).problems).toHaveLength(1);
        const { record, problems } = mendCheckpoint(copy, FOLDER);
        expect(record).toEqual(BEGUN);
        expect(problems.map((problem) => problem.path)).toEqual([path]);
        expect(readCheckpoint(copy, FOLDER)).toEqual({ record: BEGUN, problems: [] });
      }
    }
  }
});

const COMPLETE: CheckpointRecord = { completeIndex: 90, fuzzyIndex: 90 };
/** A record that is longer than others, so that what comes after it takes another file. */
const LONG: CheckpointRecord = {
  ...BEGUN,
  installed: {
    index: 7,
    term: 2,
    chain: { a: 1, b: 2 },
    knownInTerm: 3,
    configuration: initialConfiguration([
      { id: 1, address: "h".repeat(300), httpUrl: `http://${"h".repeat(300)}` },
    ]),
  },
};

/** The power goes off at an operation while a record is replaced by a complete one. */
function cutOff(before: CheckpointRecord, operation: string, skip: number, mask: number): void {
  const disk = written();
  writeCheckpoint(disk, FOLDER, before);
  disk.failNext(operation, new Error("power"), undefined, skip);
  let failed = false;
  try {
    writeCheckpoint(disk, FOLDER, COMPLETE);
  } catch (error) {
    failed = String(error).includes("power");
  }
  expect(failed).toBe(true);
  let i = 0;
  const after = disk.crash(() => (mask & (1 << i++ % 5)) !== 0);
  const { record } = mendCheckpoint(after, FOLDER);
  expect([before, COMPLETE]).toContainEqual(record);
  expect(readCheckpoint(after, FOLDER)).toEqual({ record, problems: [] });
}

test("a crash while the record is written over leaves the old one or the new one", () => {
  for (const operation of ["open", "write", "sync"]) {
    for (const skip of [0, 1]) {
      for (let mask = 0; mask < 32; mask++) cutOff(BEGUN, operation, skip, mask);
    }
  }
});

test("a crash while the record is replaced leaves the old one or the new one", () => {
  for (const operation of ["open", "truncate", "write", "sync", "rename", "syncFolder"]) {
    // To replace a file it is opened once before, to see how long it is.
    const skips = operation === "open" ? [0, 1, 2, 3] : [0, 1];
    for (const skip of skips) {
      for (let mask = 0; mask < 32; mask++) cutOff(LONG, operation, skip, mask);
    }
  }
});

test("two damaged files of the record are refused with file and offset", () => {
  const disk = written();
  for (const path of FILES) disk.damage(path, 12, (byte) => byte ^ 4);
  let error: unknown;
  try {
    mendCheckpoint(disk, FOLDER);
  } catch (thrown) {
    error = thrown;
  }
  expect((error as DatabaseError).code).toBe("CORRUPT");
  for (const path of FILES) {
    expect((error as DatabaseError).message).toContain(`${path} is damaged at offset 0`);
  }
});

test("a record tells of a snapshot on its way, and of one that is there", () => {
  const disk = written();
  const installing = { completeIndex: 0, fuzzyIndex: 0, installing: true };
  writeCheckpoint(disk, FOLDER, installing);
  expect(readCheckpoint(disk.platter(), FOLDER).record).toEqual(installing);
  const members = Array.from({ length: MEMBERS_MAX }, (_, at) => {
    const host = `${at}`.padEnd(253, "h");
    return { id: 2 ** 53 - 100 + at, address: `${host}:65535`, httpUrl: `http://${host}:65535` };
  });
  const configuration = initialConfiguration(members);
  const installed = { index: 9, term: 2, chain: { a: 1, b: 2 }, configuration, knownInTerm: 3 };
  writeCheckpoint(disk, FOLDER, { completeIndex: 9, fuzzyIndex: 12, installed });
  const { record, problems } = readCheckpoint(disk.platter(), FOLDER);
  expect(record).toEqual({ completeIndex: 9, fuzzyIndex: 12, installed });
  expect(problems).toEqual([]);
  writeCheckpoint(disk, FOLDER, FIRST);
  expect(readCheckpoint(disk, FOLDER).record).toEqual(FIRST);
});
