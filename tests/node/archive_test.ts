import { afterEach, expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { S3Server } from "../archive/s3_server.ts";
import {
  archived,
  archiveView,
  fill,
  keys,
  leaderOf,
  MIB,
  PACE,
  range,
  refused,
  restored,
  rowsOf,
  STORAGE,
} from "./archive.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";
import { Lines } from "./lines.ts";
import { command } from "./program.ts";

const servers: S3Server[] = [];

afterEach(async () => {
  await cleanUp();
  for (const server of servers.splice(0)) await server.stop();
}, 2 * TIMEOUT_MS);

async function newServer(port?: number): Promise<S3Server> {
  const server = await S3Server.start(port);
  servers.push(server);
  return server;
}

/** Restores three points in time, and holds them against what the writer noted. */
async function checkThreePoints(where: string, env: Record<string, string>): Promise<void> {
  const node = await start({ dir: newFolder(), archive: { where, env, pace: PACE } });
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
    const at = new Date(momentMs).toISOString();
    expect(await restored(where, at, env)).toEqual(acknowledged);
  }
  expect((await restored(where, "latest", env)).length).toBe(300);
}

test("three points in time hold exactly the rows that were acknowledged then", async () => {
  await checkThreePoints(newFolder(), {});
}, 2 * TIMEOUT_MS);

test("three points in time come out of a bucket as well", async () => {
  const server = await newServer();
  await checkThreePoints("s3://archive/some/where", server.env);
}, 2 * TIMEOUT_MS);

test("a bucket that went away is filled again, and one that lost everything as well", async () => {
  const server = await newServer();
  const { env, port } = server;
  const lines = new Lines();
  const where = "s3://archive";
  const dir = newFolder();
  const node = await start({ dir, archive: { where, env, pace: PACE }, log: lines });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await fill(node, 1, 5, 10);
  await archived(node);
  await server.stop();
  await fill(node, 6, 10, 10);
  await waitFor("it is told", () => lines.with("cannot archive").length > 0);
  expect((await archiveView(node)).error).toContain(where);

  // It keeps its objects in memory.
  await newServer(port);
  await waitFor("it archives again", () => lines.with("can archive again").length > 0);
  await archived(node);
  expect(await restored(where, "latest", env)).toEqual(range(1, 10));
}, 2 * TIMEOUT_MS);

test("what two leaders put there makes one log, however they cut it", async () => {
  const archive = newFolder();
  const other = newFolder();
  const dir = newFolder();
  const node = await start({ dir, archive: { where: archive, pace: PACE } });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  const points: { index: number; rows: number }[] = [];
  for (let row = 1; row <= 20; row++) {
    await fill(node, row, row, 10);
    points.push({ index: await archived(node), rows: row });
  }
  await node.stop();
  const pace = { ...PACE, objectBytesMax: 20_000 };
  const again = await start({ dir, archive: { where: other, pace } });
  await archived(again);
  await again.stop();
  expect(keys(other, "log").length).toBeLessThan(keys(archive, "log").length);

  cpSync(other, archive, { recursive: true });
  const { out } = await command("restore", "--archive", archive, "--list");
  expect(out.match(/points/g)?.length).toBe(1);
  expect(out).not.toContain("missing");
  for (const { index, rows } of points) {
    if (rows % 5 === 0) expect(await restored(archive, index)).toEqual(range(1, rows));
  }
  // Some of those that were cut small are not needed.
  const large = keys(other, "log").slice(0, 2);
  for (const key of keys(archive, "log").filter((key) => !large.includes(key)).slice(2, 5)) {
    rmSync(join(archive, key));
  }
  expect(await restored(archive, "latest")).toEqual(range(1, 20));
}, 2 * TIMEOUT_MS);

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
}, 2 * TIMEOUT_MS);

test("a call that asks for two things, or for nothing, is refused", async () => {
  const asked = async (...args: string[]) => (await command("restore", ...args)).errors;
  expect(await asked("--at", "5", "x.db")).toContain("--at goes with --archive");
  expect(await asked("--list", "x.db")).toContain("--list goes with --archive");
  expect(await asked("--archive", "a", "x.db")).toContain("not from a file");
  expect(await asked("--archive", "a")).toContain("Which point?");
  expect(await asked("--archive", "a", "--at", "5", "--to", "b", "--dir", "c")).toContain(
    "two places",
  );
  expect(await asked("--archive", "a", "--at", "yesterday")).toContain("must be an entry's index");
  const path = join(newFolder(), "there.db");
  writeFileSync(path, "mine");
  const node = await start({ dir: newFolder(), archive: { where: newFolder(), pace: PACE } });
  await node.client().execute("CREATE TABLE t (a)");
  await archived(node);
  const { archive } = await (await fetch(`${node.httpUrl}/cluster`)).json() as {
    archive: { where: string };
  };
  const point = ["--archive", archive.where, "--at", "latest", "--to", path];
  expect(await asked(...point)).toContain("exists already");
  expect(readFileSync(path, "utf8")).toBe("mine");
  expect(await asked(...point, "--force")).toBe("");
  expect(rowsOf(path)).toEqual([]);
}, 2 * TIMEOUT_MS);

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
}, 2 * TIMEOUT_MS);

test("another leader goes on where the archive ends", async () => {
  const archive = { where: newFolder(), pace: { ...PACE, lookMs: 50 } };
  const first = await start({ dir: newFolder(), archive });
  const others = [
    await start({ dir: newFolder(), join: [first.address], archive }),
    await start({ dir: newFolder(), join: [first.address], archive }),
  ];
  const nodes = [first, ...others];
  await waitFor(
    "three voters",
    async () => (await view(first)).members.filter(({ role }) => role === "voter").length === 3,
  );
  await first.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  const points: { index: number; rows: number }[] = [];
  for (let round = 0; round < 4; round++) {
    await fill(first, 5 * round + 1, 5 * round + 5, 10);
    const leader = (await leaderOf(nodes))!;
    points.push({ index: (await view(leader)).lastIndex, rows: 5 * round + 5 });
    await fetch(`${leader.httpUrl}/cluster/transfer`, { method: "POST" });
    await waitFor("another leader", async () => {
      const next = await leaderOf(nodes);
      return next !== undefined && next !== leader;
    });
  }
  const leader = (await leaderOf(nodes))!;
  await archived(leader);
  for (const node of nodes) {
    const { lastIndex } = await view(node);
    await waitFor("every node sees it", async () => (await archiveView(node)).index >= lastIndex);
  }
  for (const { index, rows } of points) {
    expect(await restored(archive.where, index)).toEqual(range(1, rows));
  }
  const { out } = await command("restore", "--archive", archive.where, "--list");
  expect(out).not.toContain("missing");
  expect(out.match(/points/g)?.length).toBe(1);
}, 4 * TIMEOUT_MS);

test("an archive that cannot be written holds nobody up, and is made good", async () => {
  const folder = newFolder();
  const where = join(folder, "archive");
  // A file is in the way of the folder.
  writeFileSync(where, "");
  const lines = new Lines();
  const storage = { ...STORAGE, checkpointFrames: 100 };
  const node = await start({
    dir: newFolder(),
    storage,
    archive: { where, pace: PACE },
    log: lines,
  });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await fill(node, 1, 50);
  await waitFor("it is told", () => lines.with("cannot archive").length > 0);
  const { error, pendingBytes, losing } = await archiveView(node);
  expect(error).toContain(where);
  expect(pendingBytes).toBeGreaterThan(50 * MIB);
  expect(losing).toBe(false);

  rmSync(where);
  await archived(node);
  expect(lines.with("can archive again").length).toBe(1);
  expect((await archiveView(node)).error).toBe(null);
  expect(await restored(where, "latest")).toEqual(range(1, 50));
}, 4 * TIMEOUT_MS);

test("what could not be archived is kept on every node, for whoever leads next", async () => {
  const where = join(newFolder(), "archive");
  writeFileSync(where, "");
  const lines = new Lines();
  const storage = { ...STORAGE, checkpointFrames: 100 };
  const options = { storage, archive: { where, pace: PACE }, log: lines };
  const first = await start({ dir: newFolder(), ...options });
  const second = await start({ dir: newFolder(), join: [first.address], ...options });
  await waitFor(
    "two voters",
    async () => (await view(first)).members.filter(({ role }) => role === "voter").length === 2,
  );
  await first.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await fill(first, 1, 40);
  const { lastIndex } = await view(first);
  await waitFor("both are there", async () => (await view(second)).appliedIndex >= lastIndex);
  for (const node of [first, second]) {
    await fetch(`${node.httpUrl}/cluster/checkpoint`, { method: "POST" });
  }
  await fetch(`${first.httpUrl}/cluster/transfer`, { method: "POST" });
  await waitFor("the other leads", async () => await leaderOf([second]) === second);
  rmSync(where);
  await archived(second);
  expect(lines.with("the archive lacks entries that the log has no more")).toEqual([]);
  expect(keys(where, "log")[0]).toContain(`/${"1".padStart(16, "0")}-`);
  expect(await restored(where, "latest")).toEqual(range(1, 40));
}, 4 * TIMEOUT_MS);

test("a node that was put back to an older state does not mix two histories", async () => {
  const archive = newFolder();
  const dir = newFolder();
  const copy = newFolder();
  const options = { dir, archive: { where: archive, pace: PACE } };
  const node = await start(options);
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await fill(node, 1, 5, 10);
  await node.stop();
  cpSync(dir, copy, { recursive: true });
  const again = await start(options);
  await fill(again, 6, 30, 10);
  await again.stop();
  const objects = keys(archive, "log");

  rmSync(dir, { recursive: true });
  cpSync(copy, dir, { recursive: true });
  const older = await start(options);
  for (const [first, last] of [[1_000, 1_005], [1_006, 1_060]] as const) {
    // At first its log is shorter than the archive, then longer.
    await fill(older, first, last, 10);
    await waitFor("it refuses", async () => {
      return (await archiveView(older)).error?.includes("another history") === true;
    });
  }
  expect(keys(archive, "log")).toEqual(objects);
  expect(await restored(archive, "latest")).toEqual(range(1, 30));
}, 2 * TIMEOUT_MS);

test("a transaction of many entries is restored whole or not at all", async () => {
  const archive = newFolder();
  const node = await start({ dir: newFolder(), archive: { where: archive, pace: PACE } });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await node.client().execute("INSERT INTO t VALUES (0, 'x')");
  const before = await archived(node);
  await node.client().execute(`WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL
    SELECT i + 1 FROM n WHERE i < 12) INSERT INTO t SELECT i, randomblob(${MIB}) FROM n`);
  const after = await archived(node);
  expect(after).toBeGreaterThan(before + 2);
  expect(await restored(archive, after - 1)).toEqual([0]);
  expect(await restored(archive, after)).toEqual(range(0, 12));
}, 4 * TIMEOUT_MS);

test("a point becomes the content of a running cluster, or of a new one", async () => {
  const archive = newFolder();
  const node = await start({ dir: newFolder(), archive: { where: archive, pace: PACE } });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await fill(node, 1, 3, 10);
  const index = await archived(node);
  await node.client().execute("DELETE FROM t");
  const point = ["restore", "--archive", archive, "--at", String(index)];
  const refusal = await command(...point, "--url", node.httpUrl);
  expect(refusal.errors).toContain("The database is not empty");
  const into = await command(...point, "--url", node.httpUrl, "--force");
  expect(into).toMatchObject({ status: 0, errors: "" });
  expect((await node.client().execute("SELECT count(*) AS n FROM t")).rows[0])
    .toEqual({ n: 3 } as never);

  const dir = join(newFolder(), "new");
  expect((await command(...point, "--dir", dir)).status).toBe(0);
  const fresh = await start({ dir, archive: { where: archive, pace: PACE } });
  expect((await fresh.client().execute("SELECT count(*) AS n FROM t")).rows[0])
    .toEqual({ n: 3 } as never);

  // The new cluster has its own history in the same place.
  await archived(fresh);
  const several = await command("restore", "--archive", archive, "--list");
  expect(several.errors).toContain("holds the archives of 2 clusters");
  const { clusterId } = await (await fetch(`${fresh.httpUrl}/cluster`)).json() as {
    clusterId: string;
  };
  const one = await command("restore", "--archive", archive, "--list", "--cluster", clusterId);
  expect(one.out).toContain(`cluster ${clusterId}\n  points 1`);
}, 2 * TIMEOUT_MS);
