import { expect, test } from "bun:test";
import { BatchSpool } from "../../lib/archive/batch_spool.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";

test("parts are kept until their batch is over, and take their space again", () => {
  const disk = new MemoryDisk((run) => setImmediate(run));
  disk.createFolder("/d");
  using spool = new BatchSpool(disk, "/d/batch");
  const part = (value: number) => new Uint8Array(100).fill(value);
  spool.add(5, 1, part(5));
  spool.add(6, 2, part(6));
  spool.add(8, 1, part(8));
  expect(spool.get(5)).toEqual(part(5));
  expect(spool.get(8)).toEqual(part(8));
  expect(spool.get(7)).toBeUndefined();
  spool.forget(1);
  expect(spool.get(5)).toBeUndefined();
  expect(spool.get(6)).toEqual(part(6));
  spool.forget(2);
  for (let index = 10; index < 20; index++) {
    spool.add(index, 1, part(index));
    spool.forget(1);
  }
  const file = disk.open("/d/batch", { create: false });
  expect(file.size()).toBe(300);
  file.close();
});
