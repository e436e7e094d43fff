import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseError } from "../../lib/base/errors.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { openFolder } from "../../lib/io/folder.ts";

const CLUSTER = "0123456789abcdef0123456789abcdef";
const FOLDER = "/srv/node";
const IDENTITY = `${FOLDER}/identity.json`;

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

function rewrite(disk: MemoryDisk, change: (text: string) => string): void {
  const file = disk.open(IDENTITY, { create: false });
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

test("every damaged byte of the identity is noticed and named", () => {
  const disk = new MemoryDisk();
  openFolder(disk, FOLDER).setClusterId(CLUSTER);
  const file = disk.open(IDENTITY, { create: false });
  const size = file.size();
  const digits = /[0-9a-f]/;
  for (let offset = 0; offset < size; offset++) {
    const copy = disk.crash(() => true);
    if (
      !digits.test(String.fromCharCode(copy.open(IDENTITY, { create: false }).read(offset, 1)[0]!))
    ) {
      continue;
    }
    copy.damage(IDENTITY, offset, (byte) => byte ^ 2);
    const error = refusal(() => openFolder(copy, FOLDER));
    expect(["CORRUPT", "DATA_FOLDER"]).toContain(error.code);
    expect(error.message).toContain(FOLDER);
  }
});

test("a newer format is refused as such", () => {
  const disk = new MemoryDisk();
  openFolder(disk, FOLDER).close();
  rewrite(disk, (text) => text.replace('"format": 1', '"format": 2'));
  const error = refusal(() => openFolder(disk, FOLDER));
  expect([error.code, error.message]).toEqual([
    "DATA_FOLDER",
    `${FOLDER} has the format 2, newer than 1, the newest known here`,
  ]);
});

test("an identity that is cut short or no JSON is refused, and the lock given back", () => {
  const disk = new MemoryDisk();
  openFolder(disk, FOLDER).close();
  for (const text of ["", "{", "null", "[]", '{"format":1}', "\u0000\u0000"]) {
    rewrite(disk, () => text);
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(refusal(() => openFolder(disk, FOLDER)).code).toBe("CORRUPT");
    }
  }
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
