import { expect, test } from "bun:test";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { HashFile } from "../../lib/replica/hash_file.ts";

const FOLDER = "/data";
const FILE = `${FOLDER}/page_hashes`;

/** Hashes in the form in which the library hands them over. */
function changes(hashes: Readonly<Record<number, bigint>>): Uint8Array {
  const entries = Object.entries(hashes);
  const view = new DataView(new ArrayBuffer(12 * entries.length));
  entries.forEach(([page, hash], at) => {
    view.setUint32(12 * at, Number(page), true);
    view.setBigUint64(12 * at + 4, hash, true);
  });
  return new Uint8Array(view.buffer);
}

function table(hashes: readonly bigint[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new BigUint64Array(hashes).buffer);
}

function newDisk(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.createFolder(FOLDER);
  return disk;
}

/** Saves three checkpoints: at 10, 20 and 30. */
function saved(): { disk: MemoryDisk } {
  const disk = newDisk();
  const file = new HashFile(disk, FILE);
  expect(file.load(10, false)).toBeUndefined();
  file.save(10, 3, (which) => {
    expect(which).toBe("all");
    return changes({ 1: 11n, 3: 0xffff_ffff_ffff_fff1n });
  });
  file.save(20, 3, (which) => {
    expect(which).toBe("changed");
    return changes({ 2: 22n });
  });
  file.save(30, 2, () => changes({ 1: 31n }));
  return { disk };
}

function flip(disk: MemoryDisk, at: number): void {
  const file = disk.open(FILE, { create: false });
  const byte = file.read(at, 1);
  byte[0]! ^= 4;
  file.write(at, byte);
  file.close();
}

test("hashes are read back as of the last checkpoint", () => {
  const { disk } = saved();
  const again = new HashFile(disk, FILE);
  const last = { index: 30, table: table([31n, 22n]) };
  expect(again.load(30, false)).toEqual(last);
  // The record of the checkpoint itself may have been lost in a crash.
  expect(again.load(20, false)).toEqual(last);
  expect(again.load(31, false)).toBeUndefined();
});

test("a database that rests is as its last checkpoint left it", () => {
  const { disk } = saved();
  expect(new HashFile(disk, FILE).load(1_000, true)?.index).toBe(30);
  const size = disk.open(FILE, { create: false }).size();
  for (let at = 0; at < size; at++) {
    flip(disk, at);
    expect(new HashFile(disk, FILE).load(1_000, true)).toBeUndefined();
    flip(disk, at);
  }
});

test("what was cut off by a crash gives way", () => {
  const { disk } = saved();
  const file = disk.open(FILE, { create: false });
  file.truncate(file.size() - 1);
  const again = new HashFile(disk, FILE);
  expect(again.load(20, false)?.index).toBe(20);
  again.save(25, 3, (which) => {
    expect(which).toBe("changed");
    return changes({ 3: 33n });
  });
  const last = { index: 25, table: table([11n, 22n, 33n]) };
  expect(new HashFile(disk, FILE).load(25, false)).toEqual(last);
});

test("a flipped bit, wherever it is, never leads to other hashes", () => {
  const { disk } = saved();
  const size = disk.open(FILE, { create: false }).size();
  const whole = new HashFile(disk, FILE).load(30, false)!;
  let refused = 0;
  for (let at = 0; at < size; at++) {
    flip(disk, at);
    const found = new HashFile(disk, FILE).load(30, false);
    if (found === undefined) refused++;
    else expect(found).toEqual(whole);
    flip(disk, at);
  }
  expect(refused).toBe(size);
});

test("a file that was cut anywhere still tells what was whole before", () => {
  const { disk } = saved();
  const file = disk.open(FILE, { create: false });
  const size = file.size();
  for (let cut = size - 1; cut >= 0; cut--) {
    file.truncate(cut);
    expect(new HashFile(disk, FILE).load(30, false)).toBeUndefined();
  }
});

test("after damage everything is saved again with the next checkpoint", () => {
  const { disk } = saved();
  flip(disk, 30);
  const again = new HashFile(disk, FILE);
  expect(again.load(30, false)).toBeUndefined();
  again.save(40, 2, (which) => {
    expect(which).toBe("all");
    return changes({ 1: 1n, 2: 2n });
  });
  expect(new HashFile(disk, FILE).load(40, false)).toEqual({
    index: 40,
    table: table([1n, 2n]),
  });
});

test("the file stays in proportion to the database", () => {
  const disk = newDisk();
  const file = new HashFile(disk, FILE);
  const pages = 10_000;
  const all: Record<number, bigint> = {};
  for (let page = 1; page <= pages; page++) all[page] = BigInt(page);
  let sizeMax = 0;
  for (let index = 1; index <= 400; index++) {
    const changed: Record<number, bigint> = {};
    for (let page = 1; page <= 100; page++) changed[page] = all[page] = BigInt(index * page);
    file.save(index, pages, (which) => changes(which === "all" ? all : changed));
    sizeMax = Math.max(sizeMax, disk.open(FILE, { create: false }).size());
  }
  expect(sizeMax).toBeLessThan(2.5 * 8 * pages);
  const loaded = new HashFile(disk, FILE).load(400, false)!;
  expect([...loaded.table.subarray(0, 16)]).toEqual([...table([400n, 800n])]);
});
