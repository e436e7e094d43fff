import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ArchivePace } from "../../lib/archive/archiver.ts";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";
import { command } from "./program.ts";

afterEach(cleanUp);

const PACE: ArchivePace = { delayMs: 20, lookMs: 50 };

/** What a node tells of its archive. */
interface ArchiveView {
  readonly index: number;
  readonly pendingBytes: number;
  readonly losing: boolean;
  readonly error: string | null;
}

async function archiveView(node: Node): Promise<ArchiveView> {
  return (await (await fetch(`${node.httpUrl}/cluster`)).json() as { archive: ArchiveView })
    .archive;
}

/** Waits until all that is committed is in the archive. */
async function archived(node: Node): Promise<number> {
  let lastIndex = 0;
  await waitFor("the archive holds everything", async () => {
    ({ lastIndex } = await view(node));
    return (await archiveView(node)).index >= lastIndex;
  });
  return lastIndex;
}

/** All files of an archive, by their keys. */
function keys(folder: string, kind: "log" | "base" | "pages"): string[] {
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((key) => key.includes(`/${kind}/`) && key.split("/").length > 2)
    .filter((key) => kind === "base" || key.split("/").length === 4)
    .sort();
}

function rowsOf(path: string): unknown[] {
  const database = new Database(path, { readonly: true });
  try {
    expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    return database.query("SELECT a FROM t ORDER BY a").values().flat();
  } finally {
    database.close();
  }
}

/** Restores a point into a file. */
async function restored(archive: string, at: number | string): Promise<unknown[]> {
  const path = join(newFolder(), "point.db");
  const result = await command("restore", "--archive", archive, "--at", String(at), "--to", path);
  expect(result).toMatchObject({ status: 0, errors: "" });
  return rowsOf(path);
}

async function refused(archive: string, at: number | string): Promise<string> {
  const folder = newFolder();
  const { status, errors } = await command(
    "restore",
    "--archive",
    archive,
    "--at",
    String(at),
    "--to",
    join(folder, "point.db"),
  );
  expect(status).toBeGreaterThan(0);
  // Nothing is left behind.
  expect(readdirSync(folder)).toEqual([]);
  return errors;
}

test("three points in time hold exactly the rows that were acknowledged then", async () => {
  const archive = newFolder();
  const node = await start({ dir: newFolder(), archive: { where: archive, pace: PACE } });
  const client = node.client();
  await client.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  /** The writer's own record: when each row was sent, and acknowledged. */
  const record: { row: number; sentMs: number; ackedMs: number }[] = [];
  const moments: number[] = [];
  for (let row = 1; row <= 300; row++) {
    const sentMs = Date.now();
    await client.execute({ sql: "INSERT INTO t VALUES (?, randomblob(500))", args: [row] });
    record.push({ row, sentMs, ackedMs: Date.now() });
    if (row % 90 !== 0) continue;
    // A moment in which nothing is under way.
    await Bun.sleep(5);
    moments.push(Date.now());
    await Bun.sleep(5);
  }
  await archived(node);
  expect(moments.length).toBe(3);
  for (const momentMs of moments) {
    const acknowledged = record.filter(({ ackedMs }) => ackedMs <= momentMs).map(({ row }) => row);
    expect(record.some(({ sentMs, ackedMs }) => sentMs <= momentMs && ackedMs > momentMs)).toBe(
      false,
    );
    expect(await restored(archive, new Date(momentMs).toISOString())).toEqual(acknowledged);
  }
  expect((await restored(archive, "latest")).length).toBe(300);
}, TIMEOUT_MS);

test("a damaged, a missing and a misplaced object are named, and nothing is restored", async () => {
  const archive = newFolder();
  const node = await start({ dir: newFolder(), archive: { where: archive, pace: PACE } });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  for (let row = 1; row <= 10; row++) {
    await node.client().execute({ sql: "INSERT INTO t VALUES (?, 'x')", args: [row] });
    await archived(node);
  }
  await node.stop();
  const objects = keys(archive, "log");
  expect(objects.length).toBeGreaterThan(8);
  const middle = objects[5]!;
  const first = Number(middle.split("/").at(-1)!.slice(0, 16));
  const last = Number(middle.split("/").at(-1)!.slice(17, 33));
  const path = join(archive, middle);
  const whole = readFileSync(path);
  const before = await restored(archive, first - 1);

  for (const offset of [0, 20, 40, whole.length >> 1, whole.length - 1]) {
    const changed = Buffer.from(whole);
    changed[offset]! ^= 1;
    writeFileSync(path, changed);
    expect(await refused(archive, "latest")).toContain(`${middle} is damaged`);
  }
  writeFileSync(path, whole.subarray(0, whole.length - 40));
  expect(await refused(archive, "latest")).toContain(`${middle} is damaged`);
  writeFileSync(path, readFileSync(join(archive, objects[6]!)));
  expect(await refused(archive, "latest")).toContain("holds other entries than its name says");
  rmSync(path);
  const missing = await refused(archive, "latest");
  expect(missing).toContain(`lacks the entries ${first} to ${last}`);
  expect(missing).toContain(`--at ${first - 1}`);
  expect(await refused(archive, last)).toContain(`lacks the entries ${first} to ${last}`);

  // What comes before is as good as it was.
  expect(await restored(archive, first - 1)).toEqual(before);
  const { out } = await command("restore", "--archive", archive, "--list");
  expect(out).toContain(`to ${first - 1} `);
  expect(out).toContain(`entries ${first} to `);
  writeFileSync(path, whole);
  expect((await restored(archive, "latest")).length).toBe(10);
}, TIMEOUT_MS);

test("points that the archive does not know are refused", async () => {
  const archive = newFolder();
  const node = await start({ dir: newFolder(), archive: { where: archive, pace: PACE } });
  await node.client().execute("CREATE TABLE t (a)");
  const lastIndex = await archived(node);
  expect(await refused(archive, lastIndex + 1)).toContain(
    `ends at entry ${lastIndex}; it does not know of entry ${lastIndex + 1}`,
  );
  expect(await refused(archive, "2999-01-01T00:00:00Z")).toContain(
    "it does not know of 2999-01-01",
  );
  expect(await refused(archive, "1999-01-01T00:00:00Z")).toContain("The first transaction");
  expect(await refused(archive, 1)).toContain("There was no database yet at entry 1");
  expect(await refused(newFolder(), 1)).toContain("holds no archive");
}, TIMEOUT_MS);
