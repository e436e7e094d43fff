import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32c } from "../../lib/base/crc32c.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { openFolder } from "../../lib/io/folder.ts";

const CLUSTER = "0123456789abcdef0123456789abcdef";
const FOLDER = "/srv/node";
const IDENTITY = `${FOLDER}/identity.json`;
const FILES = [IDENTITY, `${IDENTITY}.copy`];

function refusal(run: () => unknown): DatabaseError {
  try {
    run();
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error("Expected a refusal");
}

function inTemporary(run: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "folder-"));
  try {
    run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function rewrite(disk: MemoryDisk, path: string, change: (text: string) => string): void {
  const file = disk.open(path, { create: false });
  const text = change(new TextDecoder().decode(file.read(0, file.size())));
  file.truncate(0);
  file.write(0, new TextEncoder().encode(text));
  file.sync();
  file.close();
}

test("a new folder gets an identity that stays, through a power cut", () => {
  const disk = new MemoryDisk();
  const folder = openFolder(disk, FOLDER);
  expect(folder.identity.nodeId).toBeGreaterThan(0);
  expect(folder.identity.clusterId).toBeUndefined();
  expect(Date.parse(folder.identity.createdAt)).toBeGreaterThan(0);
  const again = openFolder(disk.crash(() => false), FOLDER);
  expect(again.identity).toEqual(folder.identity);
});

test("joining a cluster is durable and happens once", () => {
  const disk = new MemoryDisk();
  const folder = openFolder(disk, FOLDER);
  folder.setClusterId(CLUSTER);
  folder.setClusterId(CLUSTER);
  const again = openFolder(disk.crash(() => false), FOLDER);
  expect(again.identity).toEqual(folder.identity);
  expect(again.identity.clusterId).toBe(CLUSTER);
  for (const other of ["f".repeat(32), "cluster"]) {
    let message = "";
    try {
      again.setClusterId(other);
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain("AssertionError");
  }
});

test("a crash while the identity changes leaves the old one or the new one", () => {
  for (let mask = 0; mask < 32; mask++) {
    const disk = new MemoryDisk();
    const before = openFolder(disk, FOLDER);
    before.close();
    const operations = ["open", "truncate", "write", "sync", "rename", "syncFolder"];
    for (const operation of operations) {
      const next = disk.crash(() => true);
      const folder = openFolder(next, FOLDER);
      next.failNext(operation, new Error("power"));
      try {
        folder.setClusterId(CLUSTER);
      } catch (error) {
        expect(String(error)).toContain("power");
      }
      let i = 0;
      const after = openFolder(next.crash(() => (mask & (1 << i++ % 5)) !== 0), FOLDER);
      expect(after.identity.nodeId).toBe(before.identity.nodeId);
      expect([undefined, CLUSTER]).toContain(after.identity.clusterId!);
    }
  }
});

test("any byte of one file of the identity may change: it is mended from the other", () => {
  const disk = new MemoryDisk();
  const before = openFolder(disk, FOLDER);
  before.setClusterId(CLUSTER);
  const size = disk.open(IDENTITY, { create: false }).size();
  for (const path of FILES) {
    for (let offset = 0; offset < size; offset++) {
      for (const flip of [1, 2, 0x80, 0xff]) {
        const copy = disk.crash(() => true);
        copy.damage(path, offset, (byte) => byte ^ flip);
        const folder = openFolder(copy, FOLDER);
        expect(folder.identity).toEqual(before.identity);
        expect(folder.mended.map((problem) => problem.path)).toEqual([path]);
        folder.close();
        expect(openFolder(copy, FOLDER).mended).toEqual([]);
      }
    }
  }
});

test("a file of the identity that is lost, cut short or no JSON is mended from the other", () => {
  const disk = new MemoryDisk();
  const before = openFolder(disk, FOLDER);
  before.setClusterId(CLUSTER);
  for (const path of FILES) {
    for (const text of ["", "{", "null", "[]", '{"format":1}', "\u0000\u0000", undefined]) {
      const copy = disk.crash(() => true);
      if (text === undefined) copy.remove(path);
      else rewrite(copy, path, () => text);
      const folder = openFolder(copy, FOLDER);
      expect(folder.identity).toEqual(before.identity);
      expect(folder.mended.map((problem) => problem.path)).toEqual([path]);
      expect(copy.open(path, { create: false }).size()).toBeGreaterThan(50);
    }
  }
});

test("two damaged files of the identity are refused, and the lock given back", () => {
  const disk = new MemoryDisk();
  openFolder(disk, FOLDER).setClusterId(CLUSTER);
  const file = disk.open(IDENTITY, { create: false });
  const checksumAt = new TextDecoder().decode(file.read(0, 4096)).indexOf('"checksum"');
  const damaged = disk.crash(() => true);
  damaged.damage(FILES[0]!, 20, (byte) => byte ^ 1);
  rewrite(damaged, FILES[1]!, () => "{");
  for (let attempt = 0; attempt < 2; attempt++) {
    const error = refusal(() => openFolder(damaged, FOLDER));
    expect(error.code).toBe("CORRUPT");
    expect(error.message).toBe(
      `${FILES[0]} is damaged at offset ${checksumAt}: expected the checksum of what stands ` +
        `before; ${FILES[1]} is damaged at offset 0: ` +
        "expected the identity of a node with its checksum",
    );
    expect(error.hint).toContain("Nothing was changed");
  }
});

test("a newer format is refused as such", () => {
  const disk = new MemoryDisk();
  openFolder(disk, FOLDER).close();
  rewrite(disk, IDENTITY, (text) => {
    const newer = text.slice(0, text.indexOf('"checksum"')).replace('"format": 1', '"format": 2');
    const checksum = crc32c(new TextEncoder().encode(newer)).toString(16).padStart(8, "0");
    return `${newer}"checksum": "${checksum}"\n}\n`;
  });
  const error = refusal(() => openFolder(disk, FOLDER));
  expect([error.code, error.message]).toEqual([
    "DATA_FOLDER",
    `${FOLDER} has the format 2, newer than 1, the newest known here`,
  ]);
});

test("a folder in use is refused with the process that uses it", () => {
  inTemporary((folder) => {
    const disk = new NodeDisk();
    const held = openFolder(disk, join(folder, "data"));
    const error = refusal(() => openFolder(disk, join(folder, "data")));
    expect([error.code, error.message]).toEqual([
      "DATA_FOLDER",
      `${join(folder, "data")} is in use by process ${process.pid}`,
    ]);
    held.close();
    openFolder(disk, join(folder, "data")).close();
  });
});

test("a file is no folder, and somebody else's folder stays untouched", () => {
  inTemporary((folder) => {
    const disk = new NodeDisk();
    const path = join(folder, "file");
    writeFileSync(path, "text");
    for (const wrong of [path, join(path, "below")]) {
      const error = refusal(() => openFolder(disk, wrong));
      expect([error.code, error.message]).toEqual(["DATA_FOLDER", `${wrong} is not a folder`]);
    }
    const error = refusal(() => openFolder(disk, folder));
    expect([error.code, error.message]).toEqual([
      "DATA_FOLDER",
      `${folder} is no data folder: it holds file, but no identity.json`,
    ]);
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

test("a folder that cannot be written is refused", () => {
  if (process.getuid?.() === 0) {
    // The superuser may write everywhere; the disk in memory stands in for one that is read-only.
    const disk = new MemoryDisk();
    openFolder(disk, FOLDER).close();
    disk.lock = () => {
      throw Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
    };
    const error = refusal(() => openFolder(disk, FOLDER));
    expect([error.code, error.message.includes("cannot be written")]).toEqual([
      "DATA_FOLDER",
      true,
    ]);
    return;
  }
  inTemporary((folder) => {
    const path = join(folder, "data");
    mkdirSync(path, { mode: 0o555 });
    const error = refusal(() => openFolder(new NodeDisk(), path));
    chmodSync(path, 0o755);
    expect([error.code, error.message.includes("cannot be written")]).toEqual([
      "DATA_FOLDER",
      true,
    ]);
  });
});

test("the log of a start that was cut off is discarded, that of a member never", () => {
  const disk = new MemoryDisk();
  const folder = openFolder(disk, FOLDER);
  disk.createFolder(folder.logPath);
  disk.open(`${folder.logPath}/state.a`, { create: true }).close();
  folder.discardLog();
  expect(disk.list(folder.logPath)).toEqual([]);
  folder.setClusterId(CLUSTER);
  let message = "";
  try {
    folder.discardLog();
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain("never discarded");
});
