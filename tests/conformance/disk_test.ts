import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { commandOf } from "../io/runtimes.ts";
import { DISK_CHECKS } from "./disk_checks.ts";

for (const check of DISK_CHECKS) {
  test(`disk in memory: ${check.name}`, async () => {
    const disk = new MemoryDisk((run) => setImmediate(run));
    disk.createFolder("/disk");
    await check.run(disk, "/disk");
  });

  test(`disk of files: ${check.name}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "disk-"));
    try {
      await check.run(new NodeDisk(), folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test("the disk of files keeps all rules under Deno", async () => {
  const command = commandOf("deno", "tests/conformance/disk_checks_main.ts");
  const deno = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [text, errors] = await Promise.all([
    new Response(deno.stdout).text(),
    new Response(deno.stderr).text(),
  ]);
  expect(errors).toBe("");
  expect(text.trim().split("\n")).toEqual(DISK_CHECKS.map((check) => `ok ${check.name}`));
}, 20_000);

test("a failed durable write of the disk of files tells the path and what it was for", async () => {
  const folder = mkdtempSync(join(tmpdir(), "disk-"));
  try {
    const disk = new NodeDisk();
    const path = join(folder, "file");
    const file = disk.open(path, { create: true });
    disk.remove(path);
    const error = await new Promise<Error | undefined>((resolve) => {
      file.writeDurably("log batch", 0, [new Uint8Array(8)], resolve);
    });
    expect(error?.message).toContain(path);
    expect(error?.message).toContain("log batch");
    file.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the disk in memory loses what was not made durable, sector by sector", async () => {
  const disk = new MemoryDisk();
  disk.createFolder("/disk");
  const file = disk.open("/disk/file", { create: true });
  file.write(0, new Uint8Array(2048).fill(1));
  file.sync();
  disk.syncFolder("/disk");
  file.write(0, new Uint8Array(2048).fill(2));
  await new Promise((resolve) =>
    file.writeDurably("check", 512, [new Uint8Array(512).fill(3)], resolve)
  );
  const after = disk.crash((_, sector) => sector === 3).open("/disk/file", { create: false });
  const sectors = [0, 512, 1024, 1536].map((offset) => after.read(offset, 1)[0]);
  expect(sectors).toEqual([1, 3, 1, 2]);
});

test("the disk in memory loses names that were not made durable, from the last one back", () => {
  const disk = new MemoryDisk();
  disk.createFolder("/disk");
  disk.open("/disk/a", { create: true }).close();
  disk.syncFolder("/disk");
  disk.rename("/disk/a", "/disk/b");
  disk.open("/disk/c", { create: true }).close();
  disk.remove("/disk/c");
  const kept = (count: number) => {
    let asked = 0;
    return disk.crash((_, sector) => sector !== -1 || asked++ < count).list("/disk");
  };
  expect([kept(0), kept(1), kept(2), kept(3)]).toEqual([["a"], ["b"], ["b", "c"], ["b"]]);
});

test("the disk in memory may lose a rename and keep the next one", () => {
  const disk = new MemoryDisk();
  disk.createFolder("/disk");
  for (const name of ["a", "b"]) disk.open(`/disk/${name}`, { create: true }).close();
  disk.syncFolder("/disk");
  disk.rename("/disk/a", "/disk/c");
  disk.rename("/disk/b", "/disk/d");
  disk.remove("/disk/d");
  const keep = (...kept: boolean[]) =>
    disk.crash((_, sector) => sector !== -1 || kept.shift()!, false).list("/disk");
  expect(keep(false, true, true)).toEqual(["a"]);
  expect(keep(false, true, false)).toEqual(["a", "d"]);
  expect(keep(true, false, false)).toEqual(["b", "c"]);
});

test("the disk in memory can be full: what would make a file grow is refused", async () => {
  const disk = new MemoryDisk();
  disk.createFolder("/disk");
  const file = disk.open("/disk/file", { create: true });
  file.write(0, new Uint8Array(100));
  disk.capacityBytes = 150;
  expect(disk.usedBytes).toBe(100);
  file.write(50, new Uint8Array(100));
  expect(() => file.write(100, new Uint8Array(51))).toThrow("ENOSPC");
  expect(() => file.truncate(200)).toThrow("ENOSPC");
  const durably = (offset: number) =>
    new Promise<Error | undefined>((resolve) =>
      file.writeDurably("check", offset, [new Uint8Array(20)], resolve)
    );
  expect(String(await durably(140))).toContain("ENOSPC");
  expect(await durably(0)).toBe(undefined);
  disk.capacityBytes = 1000;
  expect(await durably(140)).toBe(undefined);
});

test("the medium of the disk in memory can lie about a write, until the power goes", async () => {
  const disk = new MemoryDisk();
  disk.createFolder("/disk");
  const file = disk.open("/disk/file", { create: true });
  file.write(0, new Uint8Array(1024).fill(1));
  file.sync();
  disk.syncFolder("/disk");
  let lies = true;
  disk.medium = {
    read: (_path, offset, bytes) => offset === 512 ? bytes.fill(9) : bytes,
    writes: () => !lies,
  };
  const durably = (offset: number) =>
    new Promise((resolve) =>
      file.writeDurably("check", offset, [new Uint8Array(512).fill(2)], resolve)
    );
  await durably(0);
  lies = false;
  await durably(512);
  file.sync();
  expect([file.read(0, 1)[0], file.read(512, 1)[0]]).toEqual([2, 9]);
  expect([disk.isForgotten("/disk/file", 0), disk.isForgotten("/disk/file", 1)])
    .toEqual([true, false]);
  const after = disk.crash(() => false).open("/disk/file", { create: false });
  expect([after.read(0, 1)[0], after.read(512, 1)[0]]).toEqual([1, 2]);
});

test("after a sync that failed, the disk in memory takes nothing for durable", () => {
  const disk = new MemoryDisk();
  disk.createFolder("/disk");
  const file = disk.open("/disk/file", { create: true });
  disk.syncFolder("/disk");
  file.write(0, new Uint8Array(512).fill(1));
  disk.failNext("sync", new Error("EIO"));
  expect(() => file.sync()).toThrow("EIO");
  file.sync();
  const after = disk.crash(() => false).open("/disk/file", { create: false });
  expect(after.read(0, 1)[0]).toBe(0);
});
