/** A start that must be refused, and leave everything as it is. */
import { expect } from "bun:test";
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { failure, Fixture, FOLDER } from "./harness.ts";

/** Every file of the disk, as text that changes with every bit. */
export function snapshot(disk: MemoryDisk): string {
  return disk.list(FOLDER).map((name) => {
    const file = disk.open(`${FOLDER}/${name}`, { create: false });
    const bytes = file.read(0, file.size());
    file.close();
    return `${name} ${bytes.length} ${Bun.hash(bytes)}`;
  }).join("\n");
}

/** Opening must fail, name the file and an offset, and leave the files as they are. */
export function expectCorrupt(disk: MemoryDisk, path: string): string {
  const before = snapshot(disk);
  const error = failure(() => new Fixture({ disk }));
  expect([error.code, error.message.includes(path)]).toEqual(["CORRUPT", true]);
  expect(error.message).toMatch(/at offset \d+: expected /);
  expect(snapshot(disk)).toBe(before);
  return error.message;
}
