import { afterEach, expect, test } from "bun:test";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newBaseId } from "../../lib/archive/base_id.ts";
import { Catalog } from "../../lib/archive/catalog.ts";
import { openObject, sealObject } from "../../lib/archive/object.ts";
import { prune } from "../../lib/archive/prune.ts";
import { ARCHIVE_ORPHAN_MS, CLAIM_BATCHES } from "../../lib/base/limits.ts";
import { openObjectStore } from "../../lib/io/object_store_open.ts";
import { decodeBaseHead, encodeBaseHead } from "../../lib/wire/archive.ts";
import { pagesKey } from "../../lib/wire/archive_keys.ts";
import {
  archived,
  archiveView,
  fill,
  keys,
  MIB,
  PACE,
  range,
  refused,
  restored,
  rowsOf,
  STORAGE,
  WAIT_MS,
} from "./archive.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";
import { Lines } from "./lines.ts";
import { command } from "./program.ts";

afterEach(cleanUp);

/** The folder of a node that ran without an archive and compacted its log meanwhile. */
async function folderWithoutItsFirstEntries(): Promise<string> {
  const dir = newFolder();
  const lines = new Lines();
  const early = await start({ dir, storage: STORAGE, log: lines });
  await early.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await fill(early, 1, 50);
  await waitFor("a compaction", () => lines.with("compacted the log").length > 0, WAIT_MS);
  await early.stop();
  return dir;
}

test("an archive that begins late has a base, and one while writes go on", async () => {
  const dir = await folderWithoutItsFirstEntries();
  const lines = new Lines();
  const archive = newFolder();
  const pace = { ...PACE, partBytes: 2 * MIB, baseMs: 2_000 };
  const node = await start({
    dir,
    storage: STORAGE,
    archive: { where: archive, pace },
    log: lines,
  });
  await waitFor("a first base", () => keys(archive, "base").length === 1, WAIT_MS);
  const points: { index: number; rows: number }[] = [];
  let row = 51;
  for (; keys(archive, "base").length < 2; row++) {
    await fill(node, row, row, 100_000);
    points.push({ index: (await view(node)).lastIndex, rows: row });
  }
  await fill(node, row, row);
  const lastIndex = await archived(node);
  expect(lines.with("the archive lacks entries that the log has no more")).toEqual([]);

  const [first, second] = keys(archive, "base").map((key) => Number(key.split(/[-/]/)[3]));
  expect(second!).toBeGreaterThan(first!);
  expect(await refused(archive, first! - 1)).toContain(`is entry ${first}`);
  // From the first base, and from the second one.
  const inBetween = points.find(({ index }) => index >= first! && index < second!)!;
  expect(await restored(archive, inBetween.index)).toEqual(range(1, inBetween.rows));
  expect(await restored(archive, lastIndex)).toEqual(range(1, row));

  // A base that is damaged is left aside for an earlier one.
  const parts = keys(archive, "pages");
  const newest = keys(archive, "base").at(-1)!.slice(-32);
  const part = join(archive, parts.filter((key) => key.includes(newest)).at(-1)!);
  const bytes = readFileSync(part);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(part, bytes);
  const path = join(newFolder(), "point.db");
  const result = await command("restore", "--archive", archive, "--at", "latest", "--to", path);
  expect(result.errors).toContain("is damaged: its checksum does not fit; begins earlier");
  expect(rowsOf(path)).toEqual(range(1, row));
}, 4 * TIMEOUT_MS);

test("what is older than what is kept goes, and nothing else", async () => {
  const archive = newFolder();
  const pace = { ...PACE, baseMs: 300, pruneMs: 100 };
  const keepMs = 1_500;
  const lines = new Lines();
  const options = { where: archive, pace, keepMs };
  const storage = { ...STORAGE, checkpointFrames: 20 };
  const node = await start({ dir: newFolder(), storage, archive: options, log: lines });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  const points: { atMs: number; index: number; rows: number }[] = [];
  let row = 1;
  const prunes = () => lines.with("pruned the archive").length;
  for (; prunes() < 3; row++) {
    await fill(node, row, row, 20_000);
    points.push({ atMs: Date.now(), index: await archived(node), rows: row });
  }
  await node.stop();
  const stoppedMs = Date.now();
  const first = Number(keys(archive, "base")[0]!.split(/[-/]/)[3]);
  expect(first).toBeGreaterThan(10);
  expect(keys(archive, "log")[0]!.split("/").at(-1)!.slice(0, 16)).not.toBe("1".padStart(16, "0"));
  expect(await refused(archive, first - 1)).toContain(`is entry ${first}`);
  const kept = points.filter(({ atMs }) => atMs > stoppedMs - keepMs + 200);
  for (const { index, rows } of [kept[0]!, kept.at(-1)!]) {
    expect(await restored(archive, index)).toEqual(range(1, rows));
  }
  // Each base that is left has its pages, and no others are there.
  const ids = keys(archive, "base").map((key) => key.slice(-32));
  expect([...new Set(keys(archive, "pages").map((key) => key.split("/")[2]!))]).toEqual(ids);
}, TIMEOUT_MS);

test("pages that no base names go, once nobody can be making a base of them", async () => {
  const archive = newFolder();
  const node = await start({ dir: newFolder(), archive: { where: archive, pace: PACE } });
  await node.client().execute("CREATE TABLE t (a)");
  await archived(node);
  await node.stop();
  const store = openObjectStore(archive);
  const catalog = new Catalog(store, keys(archive, "log")[0]!.split("/")[0]!);
  const nowMs = Date.now();
  const idOf = (ageMs: number) => newBaseId(nowMs - ageMs, (bytes) => "0".repeat(2 * bytes));
  const young = pagesKey(catalog.clusterId, idOf(ARCHIVE_ORPHAN_MS - 60_000), 1);
  const old = pagesKey(catalog.clusterId, idOf(ARCHIVE_ORPHAN_MS + 60_000), 1);
  for (const key of [young, old]) await store.put(key, new Uint8Array(5));
  expect(await prune(catalog, nowMs, nowMs)).toMatchObject({ objects: 1, base: undefined });
  expect(keys(archive, "pages")).toEqual([young]);
  expect(await restored(archive, "latest")).toEqual([]);
}, TIMEOUT_MS);

test("rot that a base took over from the database is found", async () => {
  const dir = await folderWithoutItsFirstEntries();
  const archive = newFolder();
  const node = await start({ dir, storage: STORAGE, archive: { where: archive, pace: PACE } });
  await waitFor("a base", () => keys(archive, "base").length === 1, WAIT_MS);
  // Enough of them for the leader to tell, in the log, what its database is.
  const last = 50 + 2 * CLAIM_BATCHES;
  await fill(node, 51, last, 10);
  await archived(node);
  expect(await restored(archive, "latest")).toEqual(range(1, last));

  // A bit in the middle of a blob, where SQLite would never find it. All hashes are as they would
  // be had it been in the file when it was read.
  const catalog = new Catalog(openObjectStore(archive), keys(archive, "base")[0]!.split("/")[0]!);
  const place = { ...catalog, key: keys(archive, "base")[0]! };
  const head = decodeBaseHead((await openObject(place, "base")).head);
  const part = { ...catalog, key: pagesKey(catalog.clusterId, head.id, 3) };
  const { head: pagesHead, body } = await openObject(part, "pages");
  body[body.length >> 1]! ^= 1;
  const { clusterId } = catalog;
  const rotten = await sealObject({ kind: "pages", clusterId, head: pagesHead, body });
  writeFileSync(join(archive, part.key), rotten.bytes);
  const [database] = head.databases;
  const parts = database!.parts.with(2, rotten.sha256);
  const base = await sealObject({
    kind: "base",
    clusterId,
    head: encodeBaseHead({ ...head, databases: [{ ...database!, parts }] }),
    body: new Uint8Array(0),
  });
  writeFileSync(join(archive, place.key), base.bytes);
  expect(await refused(archive, "latest")).toContain("is not what the cluster had at entry");
}, 4 * TIMEOUT_MS);

test("what is too much to be kept becomes a gap that is told of", async () => {
  const folder = newFolder();
  const where = join(folder, "archive");
  const lines = new Lines();
  const pace = { ...PACE, holdBytesMax: 8 * MIB };
  const node = await start({
    dir: newFolder(),
    storage: { ...STORAGE, checkpointFrames: 100 },
    archive: { where, pace },
    log: lines,
  });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  const before = await archived(node);
  renameSync(where, `${where}.away`);
  writeFileSync(where, "");
  await fill(node, 1, 40);
  expect((await archiveView(node)).losing).toBe(true);
  await waitFor("a compaction", () => lines.with("compacted the log").length > 0, WAIT_MS);
  rmSync(where);
  renameSync(`${where}.away`, where);
  await waitFor("a base behind the gap", () => keys(where, "base").length === 1, WAIT_MS);
  await archived(node);

  const [gap] = lines.with("the archive lacks entries that the log has no more");
  expect(gap).toMatchObject({ first: before + 1 });
  const { first, last } = gap as unknown as { first: number; last: number };
  expect(last).toBeGreaterThan(first);
  expect(await restored(where, before)).toEqual([]);
  expect(await refused(where, last)).toContain(`lacks the entries ${first} to ${last}`);
  expect(await restored(where, "latest")).toEqual(range(1, 40));
}, 4 * TIMEOUT_MS);
