/** What every disk must do, as plain functions, so that each runtime can run them. */
import { deepStrictEqual, ok, strictEqual, throws } from "node:assert";
import type { Disk, DiskFile } from "../../lib/io/disk.ts";

/** One rule; it gets an empty folder of its own. */
export interface DiskCheck {
  readonly name: string;
  run(disk: Disk, folder: string): void | Promise<void>;
}

function bytes(...values: number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values);
}

function durably(
  file: DiskFile,
  offset: number,
  parts: readonly Uint8Array[],
): Promise<Error | undefined> {
  return new Promise((resolve) => file.writeDurably("check", offset, parts, resolve));
}

function withFile(disk: Disk, path: string, use: (file: DiskFile) => void): void {
  const file = disk.open(path, { create: true });
  try {
    use(file);
  } finally {
    file.close();
  }
}

/** The rules of {@linkcode Disk} and {@linkcode DiskFile}. */
export const DISK_CHECKS: readonly DiskCheck[] = [
  {
    name: "a file that is missing is made only when that was asked for",
    run(disk, folder) {
      const path = `${folder}/missing`;
      throws(
        () => disk.open(path, { create: false }),
        (error: Error) => error.message.includes(path),
      );
      strictEqual(disk.exists(path), false);
      withFile(disk, path, (file) => strictEqual(file.size(), 0));
      strictEqual(disk.exists(path), true);
    },
  },
  {
    name: "what was written is read at its offset, gaps are zeros, and the end cuts short",
    run(disk, folder) {
      withFile(disk, `${folder}/file`, (file) => {
        file.write(3, bytes(1, 2, 3));
        file.write(4, bytes(9));
        deepStrictEqual([...file.read(0, 100)], [0, 0, 0, 1, 9, 3]);
        deepStrictEqual([...file.read(4, 1)], [9]);
        deepStrictEqual([...file.read(6, 5)], []);
        strictEqual(file.size(), 6);
      });
    },
  },
  {
    name: "what was read does not change with the file",
    run(disk, folder) {
      withFile(disk, `${folder}/file`, (file) => {
        file.write(0, bytes(1, 2));
        const before = file.read(0, 2);
        file.write(0, bytes(7, 7));
        deepStrictEqual([...before], [1, 2]);
      });
    },
  },
  {
    name: "a file can be cut and extended, with zeros where it was cut",
    run(disk, folder) {
      withFile(disk, `${folder}/file`, (file) => {
        file.write(0, bytes(1, 2, 3, 4));
        file.truncate(2);
        strictEqual(file.size(), 2);
        file.truncate(5);
        deepStrictEqual([...file.read(0, 9)], [1, 2, 0, 0, 0]);
        file.sync();
      });
    },
  },
  {
    name: "a durable write joins its parts and calls back after it returned",
    async run(disk, folder) {
      const file = disk.open(`${folder}/file`, { create: true });
      let returned = false;
      const error = await new Promise<Error | undefined>((resolve) => {
        file.writeDurably("check", 2, [bytes(1), bytes(), bytes(2, 3)], (failure) => {
          ok(returned, "called back before it returned");
          resolve(failure);
        });
        returned = true;
      });
      strictEqual(error, undefined);
      deepStrictEqual([...file.read(0, 9)], [0, 0, 1, 2, 3]);
      file.close();
    },
  },
  {
    name: "durable writes may follow each other without end, while timers still run",
    async run(disk, folder) {
      const file = disk.open(`${folder}/file`, { create: true });
      let timer = false;
      setTimeout(() => timer = true, 5);
      let count = 0;
      await new Promise<void>((resolve, reject) => {
        const next = (error: Error | undefined) => {
          if (error !== undefined) return reject(error);
          if (timer || ++count > 50_000) return resolve();
          file.writeDurably("check", (count % 64) * 64, [bytes(count % 256)], next);
        };
        next(undefined);
      });
      ok(timer, `no timer ran during ${count} writes`);
      file.close();
    },
  },
  {
    name: "a large durable write arrives whole",
    async run(disk, folder) {
      const file = disk.open(`${folder}/file`, { create: true });
      const part = new Uint8Array(1_300_000).map((_, i) => i % 251);
      strictEqual(await durably(file, 5, [part, part]), undefined);
      const read = file.read(5 + part.length, part.length);
      ok(read.every((byte, i) => byte === i % 251) && read.length === part.length);
      file.close();
    },
  },
  {
    name: "two durable writes at once are a mistake of the caller",
    async run(disk, folder) {
      const file = disk.open(`${folder}/file`, { create: true });
      const first = durably(file, 0, [bytes(1)]);
      throws(() => file.writeDurably("check", 0, [bytes(2)], () => {}), { name: "AssertionError" });
      await first;
      file.close();
    },
  },
  {
    name: "closing a file lets a durable write under way finish",
    async run(disk, folder) {
      const file = disk.open(`${folder}/file`, { create: true });
      const written = durably(file, 0, [bytes(4)]);
      file.close();
      strictEqual(await written, undefined);
      withFile(disk, `${folder}/file`, (again) => deepStrictEqual([...again.read(0, 2)], [4]));
      throws(() => file.read(0, 1), { name: "AssertionError" });
    },
  },
  {
    name: "a sync that others need not wait for is done later, also when the file is closed",
    async run(disk, folder) {
      const file = disk.open(`${folder}/file`, { create: true });
      file.write(0, bytes(1, 2));
      let isDone = false;
      const synced = new Promise<Error | undefined>((resolve) =>
        file.syncLater((failure) => {
          isDone = true;
          resolve(failure);
        })
      );
      strictEqual(isDone, false);
      throws(() => file.syncLater(() => {}), { name: "AssertionError" });
      file.write(2, bytes(3));
      file.close();
      strictEqual(await synced, undefined);
      throws(() => file.syncLater(() => {}), { name: "AssertionError" });
      withFile(
        disk,
        `${folder}/file`,
        (again) => deepStrictEqual([...again.read(0, 9)], [1, 2, 3]),
      );
    },
  },
  {
    name: "two handles of one file see each other's writes",
    async run(disk, folder) {
      const one = disk.open(`${folder}/file`, { create: true });
      const other = disk.open(`${folder}/file`, { create: false });
      await durably(one, 0, [bytes(1, 2)]);
      deepStrictEqual([...other.read(0, 2)], [1, 2]);
      one.close();
      other.close();
    },
  },
  {
    name: "names are listed in order, renamed over others, and removed",
    run(disk, folder) {
      for (const name of ["c", "a", "b"]) {
        withFile(disk, `${folder}/${name}`, (file) => file.write(0, bytes(name.charCodeAt(0))));
      }
      deepStrictEqual(disk.list(folder), ["a", "b", "c"]);
      disk.rename(`${folder}/c`, `${folder}/a`);
      disk.remove(`${folder}/b`);
      disk.syncFolder(folder);
      deepStrictEqual(disk.list(folder), ["a"]);
      withFile(disk, `${folder}/a`, (file) => deepStrictEqual([...file.read(0, 1)], [99]));
      throws(() => disk.remove(`${folder}/b`));
    },
  },
  {
    name: "folders are made with their parents, and a missing one is empty",
    run(disk, folder) {
      disk.createFolder(`${folder}/x/y`);
      disk.createFolder(`${folder}/x/y`);
      ok(disk.exists(`${folder}/x/y`));
      deepStrictEqual(disk.list(folder), ["x"]);
      deepStrictEqual(disk.list(`${folder}/nowhere`), []);
    },
  },
  {
    name: "a folder is removed with everything in it",
    run(disk, folder) {
      disk.createFolder(`${folder}/x/y`);
      disk.open(`${folder}/x/y/z`, { create: true }).close();
      disk.open(`${folder}/xy`, { create: true }).close();
      disk.removeFolder(`${folder}/x`);
      disk.removeFolder(`${folder}/x`);
      deepStrictEqual(disk.list(folder), ["xy"]);
    },
  },
  {
    name: "a lock is held once and can be taken again",
    run(disk, folder) {
      const unlock = disk.lock(`${folder}/lock`);
      ok(unlock !== undefined);
      strictEqual(disk.lock(`${folder}/lock`), undefined);
      strictEqual(disk.isLocked(`${folder}/lock`), true);
      unlock();
      strictEqual(disk.isLocked(`${folder}/lock`), false);
      const again = disk.lock(`${folder}/lock`);
      ok(again !== undefined);
      again();
    },
  },
];
