import { afterEach, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { DatabaseError } from "../../lib/base/errors.ts";
import type { Node } from "../../lib/node.ts";
import type { LogFields } from "../../lib/observe/log.ts";
import type { IntegrityStatus, ScrubRound } from "../../lib/server/types.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";

const PAGE_BYTES = 4_096;
const ROWS = 3_000;
/** Pages that are changed where nobody notices. */
const DIFFERING = [200, 201, 500];
const random = new SeededRandom(7);

afterEach(cleanUp, TIMEOUT_MS);

/** What a row holds: every byte of it follows from its number. */
function bodyOf(id: number): string {
  return `${id}-`.repeat(4_000).slice(0, 3_000 + id % 1_500);
}

/** A node, its folder, and what it logged. */
interface Watched {
  readonly node: Node;
  readonly dir: string;
  readonly lines: { readonly message: string; readonly fields: LogFields | undefined }[];
}

async function startWatched(
  join: readonly string[],
  dir = newFolder(),
  onFatal?: (error: Error) => void,
): Promise<Watched> {
  const lines: Watched["lines"] = [];
  const note = (message: string, fields?: LogFields) => void lines.push({ message, fields });
  const log = { debug() {}, info() {}, warn: note, error: note };
  const options = { dir, join, log, ...(onFatal === undefined ? {} : { onFatal }) };
  return { node: await start(options), dir, lines };
}

/** Three voters with a table that is larger than any page cache, all of it in their files. */
async function startThree(): Promise<[Watched, Watched, Watched]> {
  const first = await startWatched([]);
  const second = await startWatched([first.node.address]);
  const third = await startWatched([first.node.address]);
  await waitFor("three voters", async () => {
    const { members } = await view(first.node);
    return members.filter(({ role }) => role === "voter").length === 3;
  });
  const client = first.node.client();
  await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)");
  for (let id = 0; id < ROWS; id += 100) {
    const ids = Array.from({ length: 100 }, (_, at) => id + at);
    await client.batch(
      ids.map((one) => ({ sql: "INSERT INTO t VALUES (?, ?)", args: [one, bodyOf(one)] })),
    );
  }
  for (const { node } of [first, second, third]) await checkpoint(node);
  return [first, second, third];
}

async function checkpoint(node: Node): Promise<void> {
  await count(node);
  await waitFor(
    "a checkpoint",
    async () =>
      (await fetch(`${node.httpUrl}/cluster/checkpoint`, { method: "POST" })).status === 200,
  );
}

async function integrity(node: Node): Promise<IntegrityStatus> {
  const reply = await fetch(`${node.httpUrl}/cluster`);
  return (await reply.json() as { integrity: IntegrityStatus }).integrity;
}

async function scrub(node: Node): Promise<ScrubRound> {
  const reply = await fetch(`${node.httpUrl}/cluster/scrub`, { method: "POST" });
  expect(reply.status).toBe(200);
  return await reply.json() as ScrubRound;
}

async function count(node: Node): Promise<number> {
  const { rows } = await node.client().execute("SELECT count(*) AS n FROM t");
  return Number(rows[0]?.["n"]);
}

const fileOf = ({ dir }: Watched) => join(dir, "main.db");

/** Overwrites random pages of the file with noise. */
function rot(watched: Watched, pages: number): void {
  const file = openSync(fileOf(watched), "r+");
  const size = readFileSync(fileOf(watched)).length / PAGE_BYTES;
  const chosen = new Set<number>();
  while (chosen.size < pages) chosen.add(below(random, size));
  for (const page of chosen) {
    const noise = Uint8Array.from({ length: PAGE_BYTES }, () => below(random, 256));
    writeSync(file, noise, 0, PAGE_BYTES, page * PAGE_BYTES);
  }
  closeSync(file);
}

/** Reads rows until told to stop; each answer is right, or an error that says what is wrong. */
async function readMany(
  node: Node,
  stopped: () => boolean,
): Promise<{ right: number; refused: number }> {
  const client = node.client();
  let right = 0;
  let refused = 0;
  while (!stopped()) {
    const id = below(random, ROWS);
    try {
      const { rows } = await client.execute("SELECT body FROM t WHERE id = ?", [id]);
      expect(rows[0]?.["body"]).toBe(bodyOf(id));
      right++;
    } catch (error) {
      if ((error as DatabaseError).code !== "CORRUPT") throw error;
      refused++;
    }
  }
  return { right, refused };
}

test(
  "200 rotten pages of a follower are found and repaired, and nobody reads a wrong one",
  async () => {
    const [, , follower] = await startThree();
    const before = readFileSync(fileOf(follower));
    let stopped = false;
    const readers = [1, 2, 3].map(() => readMany(follower.node, () => stopped));
    rot(follower, 200);
    expect(readFileSync(fileOf(follower)).equals(before)).toBe(false);
    const report = await scrub(follower.node);
    await waitFor("every page is repaired", async () => {
      const { damagedPages, repairedPages } = await integrity(follower.node);
      return damagedPages === 0 && repairedPages >= 200;
    });
    await Bun.sleep(100);
    stopped = true;
    const reads = await Promise.all(readers);
    expect(reads.reduce((sum, { right }) => sum + right, 0)).toBeGreaterThan(10);
    expect(readFileSync(fileOf(follower)).equals(before)).toBe(true);
    expect(report.verifiedPages * PAGE_BYTES).toBe(before.length);
    const messages = follower.lines.map(({ message }) => message);
    expect(messages).toContain("pages of the database file are damaged");
    expect(messages).toContain("repaired damaged pages");
    expect((await scrub(follower.node)).damagedPages).toBe(0);
    const { rows } = await follower.node.client().execute("PRAGMA integrity_check");
    expect(rows[0]?.[0]).toBe("ok");
  },
  TIMEOUT_MS,
);

test("a leader's rotten pages are repaired from its followers", async () => {
  const [leader] = await startThree();
  const before = readFileSync(fileOf(leader));
  rot(leader, 50);
  await scrub(leader.node);
  await leader.node.client().execute("INSERT INTO t VALUES (-1, 'x')").catch(() => {});
  await waitFor(
    "every page is repaired",
    async () => (await integrity(leader.node)).damagedPages === 0,
  );
  await leader.node.client().execute("DELETE FROM t WHERE id = -1");
  await checkpoint(leader.node);
  expect(readFileSync(fileOf(leader)).length).toBe(before.length);
  expect((await scrub(leader.node)).damagedPages).toBe(0);
  expect(await count(leader.node)).toBe(ROWS);
}, TIMEOUT_MS);

test(
  "a file that rotted while its node was down is found and repaired after the start",
  async () => {
    const [leader, , follower] = await startThree();
    const before = readFileSync(fileOf(follower));
    await follower.node.stop();
    rot(follower, 100);
    const again = await startWatched([leader.node.address], follower.dir);
    await waitFor("every page is repaired", async () => {
      const { damagedPages, repairedPages, unknownPages } = await integrity(again.node);
      return damagedPages === 0 && repairedPages === 100 && unknownPages === 0;
    });
    expect(readFileSync(fileOf(again)).equals(before)).toBe(true);
  },
  TIMEOUT_MS,
);

test("a node alone refuses what it lost, says so, and serves the rest", async () => {
  const before = await startWatched([]);
  const client = before.node.client();
  await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)");
  for (let id = 0; id < 20; id++) {
    await client.execute("INSERT INTO t VALUES (?, ?)", [id, bodyOf(id)]);
  }
  await checkpoint(before.node);
  await before.node.stop();
  const file = openSync(fileOf(before), "r+");
  writeSync(file, new Uint8Array(100).fill(255), 0, 100, 4 * PAGE_BYTES + 50);
  closeSync(file);
  const alone = await startWatched([], before.dir);
  await waitFor("the node leads", async () => (await view(alone.node)).role === "leader");
  const again = alone.node.client();
  const refused = await again.execute("SELECT sum(length(body)) FROM t").catch((error) => error);
  expect((refused as DatabaseError).code).toBe("CORRUPT");
  await waitFor("it says so", () => alone.lines.some(({ fields }) => fields?.["list"] === "5"));
  expect((await scrub(alone.node)).damagedPages).toBe(1);
  expect((await integrity(alone.node)).damagedPages).toBe(1);
  await again.execute("CREATE TABLE other (a)");
  const { rows } = await again.execute("SELECT length(body) FROM t WHERE id = 0");
  expect(rows[0]?.[0]).toBe(bodyOf(0).length);
}, TIMEOUT_MS);

/** Restarts a node whose file was changed while nothing says what it should hold. */
async function restartDiffering(
  { node, dir }: Watched,
  join: readonly string[],
  onFatal?: (error: Error) => void,
): Promise<Watched> {
  await node.stop();
  rmSync(`${dir}/page_hashes`);
  const file = openSync(`${dir}/main.db`, "r+");
  for (const page of DIFFERING) {
    writeSync(file, new Uint8Array([1]), 0, 1, page * PAGE_BYTES + 2_000);
  }
  closeSync(file);
  const again = await startWatched(join, dir, onFatal);
  await waitFor("it knows its pages", async () => {
    const { unknownPages, diverged, healing } = await integrity(again.node);
    return unknownPages === 0 || diverged || healing !== null;
  });
  return again;
}

/** Writes until told to stop; returns how many writes were acknowledged. */
async function writeMany(node: Node, stopped: () => boolean): Promise<number> {
  const client = node.client();
  let acknowledged = 0;
  while (!stopped()) {
    try {
      await client.execute("INSERT INTO w VALUES (?)", [acknowledged]);
      acknowledged++;
    } catch (error) {
      // Leadership moves once; the client does not repeat what may have happened.
      if ((error as DatabaseError).outcome !== "unknown") throw error;
    }
    await Bun.sleep(5);
  }
  return acknowledged;
}

/** Waits until all nodes hold the same pages at the same index. */
async function expectEqual(nodes: readonly Node[]): Promise<void> {
  const digest = async ({ httpUrl }: Node) =>
    await (await fetch(`${httpUrl}/cluster/digest`)).json() as { index: number; sha256: string };
  let digests = await Promise.all(nodes.map(digest));
  await waitFor("all nodes at the same index", async () => {
    digests = await Promise.all(nodes.map(digest));
    return digests.every(({ index, sha256 }) =>
      sha256 !== undefined && index === digests[0]!.index
    );
  });
  expect(new Set(digests.map(({ sha256 }) => sha256)).size).toBe(1);
}

test("a follower that differs says so, takes the pages that differ, and goes on", async () => {
  const [leader, , follower] = await startThree();
  await leader.node.client().execute("CREATE TABLE w (n)");
  let stopped = false;
  const again = await restartDiffering(follower, [leader.node.address]);
  const writing = writeMany(leader.node, () => stopped);
  await waitFor("it heals", async () => (await integrity(again.node)).healing?.done === true);
  await waitFor("it is seen to agree", async () => (await integrity(again.node)).verifiedIndex > 0);
  const { diverged, healing } = await integrity(again.node);
  stopped = true;
  const acknowledged = await writing;
  expect(diverged).toBe(false);
  // Beside what the writes changed meanwhile.
  expect(healing!.fetchedPages).toBeGreaterThanOrEqual(DIFFERING.length);
  expect(healing!.fetchedPages).toBeLessThan(200);
  const messages = again.lines.map(({ message }) => message);
  expect(messages).toContain("this node and its leader held different pages");
  expect(again.lines.find(({ message }) => message.startsWith("healed"))?.fields)
    .toEqual({ index: healing!.index, fetchedPages: healing!.fetchedPages });
  await expectEqual([leader.node, again.node]);
  const { rows } = await again.node.client().execute("SELECT count(*) FROM w");
  expect(Number(rows[0]?.[0])).toBeGreaterThanOrEqual(acknowledged);
}, TIMEOUT_MS);

test("a leader that differs lets another one lead, and heals behind it", async () => {
  const [leader, second, third] = await startThree();
  await leader.node.client().execute("CREATE TABLE w (n)");
  const again = await restartDiffering(leader, [second.node.address]);
  await waitFor("it leads", async () => {
    await again.node.client().execute("INSERT INTO w VALUES (0)");
    const transfer = {
      method: "POST",
      body: JSON.stringify({ id: (await view(again.node)).nodeId }),
    };
    await fetch(`${second.node.httpUrl}/cluster/transfer`, transfer);
    const { diverged, healing } = await integrity(again.node);
    return diverged || healing !== null || (await view(again.node)).role === "leader";
  });
  let stopped = false;
  const writing = writeMany(second.node, () => stopped);
  await waitFor("it heals", async () => (await integrity(again.node)).healing?.done === true);
  stopped = true;
  expect(await writing).toBeGreaterThan(0);
  expect((await view(again.node)).role).toBe("follower");
  await expectEqual([again.node, second.node, third.node]);
}, TIMEOUT_MS);

test(
  "rotten pages of the node that gives are mended, and never come to one that heals",
  async () => {
    const [leader, , follower] = await startThree();
    await leader.node.client().execute("CREATE TABLE w (n)");
    await checkpoint(leader.node);
    const again = await restartDiffering(follower, [leader.node.address]);
    rot(leader, 60);
    await waitFor("it heals", async () => {
      // What is rotten may refuse a statement until it is mended.
      await leader.node.client().execute("INSERT INTO w VALUES (1)").catch(() => {});
      return (await integrity(again.node)).healing?.done === true;
    }, TIMEOUT_MS);
    expect((await integrity(leader.node)).repairedPages).toBeGreaterThan(0);
    await waitFor("it agrees", async () => {
      await leader.node.client().execute("INSERT INTO w VALUES (1)");
      return (await integrity(again.node)).verifiedIndex > 0;
    });
    await expectEqual([leader.node, again.node]);
  },
  TIMEOUT_MS,
);
