import { afterEach, expect, test } from "bun:test";
import type { StorageOptions } from "../../lib/node_options.ts";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";
import { CuttingProxy, freePort } from "./cutting_proxy.ts";
import { Lines } from "./lines.ts";

afterEach(cleanUp);

const MIB = 1024 * 1024;
/** Behind a checkpoint next to nothing stays, so that who was away needs a snapshot. */
const STORAGE: StorageOptions = { checkpointFrames: 500, trailing: { entries: 50, bytes: MIB } };
/** More than two segments of the log, so that at least one goes. */
const COMPACTING_MIB = 40;

async function digest(node: Node): Promise<{ index: number; sha256: string; pages: number }> {
  return await (await fetch(`${node.httpUrl}/cluster/digest`)).json() as never;
}

/** Waits until all nodes hold the same pages at the same index. */
async function expectEqual(nodes: readonly Node[]): Promise<void> {
  let digests = await Promise.all(nodes.map(digest));
  await waitFor("all nodes at the same index", async () => {
    digests = await Promise.all(nodes.map(digest));
    return digests.every(({ index, pages }) => index === digests[0]!.index && pages > 0);
  });
  expect(new Set(digests.map(({ sha256 }) => sha256)).size).toBe(1);
}

async function voters(node: Node): Promise<number> {
  return (await view(node)).members.filter(({ role }) => role === "voter").length;
}

async function isReady(node: Node): Promise<boolean> {
  return (await fetch(`${node.httpUrl}/readyz`)).status === 200;
}

/** Writes rows of a MiB. */
async function fill(node: Node, rows: number): Promise<void> {
  for (let i = 0; i < rows; i++) {
    await node.client().execute(`INSERT INTO t(data) VALUES (randomblob(${MIB}))`);
  }
}

/** Waits until the log of a node begins after `index`. */
async function compacted(lines: Lines, index: number): Promise<void> {
  await waitFor(
    "a compaction",
    () => lines.with("compacted the log").some(({ firstIndex }) => Number(firstIndex) > index),
  );
}

test("a node that was away takes the pages that changed, while writes go on", async () => {
  const lines = new Lines();
  const first = await start({ dir: newFolder(), storage: STORAGE, log: lines });
  await first.client().execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data)");
  // Less than a segment of the log, so that the others need no snapshot to join.
  await fill(first, 14);
  const dir = newFolder();
  const second = await start({ dir, join: [first.address], storage: STORAGE });
  const third = await start({ dir: newFolder(), join: [first.address], storage: STORAGE });
  await waitFor("three voters", async () => await voters(first) === 3);
  await expectEqual([first, second, third]);
  const { lastIndex } = await view(second);
  expect((await fetch(`${second.httpUrl}/cluster/checkpoint`, { method: "POST" })).status).toBe(
    200,
  );
  await second.stop();

  for (let i = 0; i < COMPACTING_MIB; i++) {
    await first.client().execute(`UPDATE t SET data = randomblob(${MIB}) WHERE id = ${1 + i % 4}`);
  }
  await compacted(lines, lastIndex);

  const taken = new Lines();
  const again = await start({ dir, storage: STORAGE, log: taken });
  const writing = fill(first, 3);
  await waitFor("a snapshot", () => taken.with("took a snapshot").length > 0);
  await writing;
  await waitFor("it is ready", () => isReady(again));
  await expectEqual([first, again, third]);
  const [fields] = taken.with("took a snapshot");
  // Four of fourteen rows changed; three were added.
  expect(Number(fields!["writtenPages"])).toBeLessThan(Number(fields!["pages"]) / 2);
  expect(Number(fields!["receivedBytes"])).toBeLessThan(Number(fields!["pages"]) * 4096 / 2);
  expect((await again.client().execute("PRAGMA integrity_check")).rows[0])
    .toEqual({ integrity_check: "ok" } as never);
}, TIMEOUT_MS);

test("a fresh node joins a compacted cluster over a connection that is cut twice", async () => {
  const lines = new Lines();
  const port = await freePort();
  const proxy = await CuttingProxy.start(port);
  try {
    const first = await start({
      dir: newFolder(),
      listen: `127.0.0.1:${port}`,
      advertise: proxy.address,
      storage: STORAGE,
      log: lines,
    });
    await first.client().execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data)");
    await fill(first, COMPACTING_MIB);
    await compacted(lines, 1);

    proxy.cutsAfterBytes.push(10 * MIB, 20 * MIB);
    const taken = new Lines();
    const fresh = await start({
      dir: newFolder(),
      join: [first.address],
      storage: STORAGE,
      log: taken,
    });
    const writing = fill(first, 5);
    await waitFor("it is ready", () => isReady(fresh));
    await writing;
    await waitFor("it votes", async () => await voters(first) === 2);
    await expectEqual([first, fresh]);
    expect(taken.with("takes no snapshot").length).toBe(2);
    const [fields] = taken.with("took a snapshot");
    const brought = proxy.broughtBytes.slice(0, 3);
    expect(brought.length).toBe(3);
    // What came before a cut does not come again.
    const sizeBytes = Number(fields!["pages"]) * 4096;
    expect(brought[2]).toBeLessThan(sizeBytes - 25 * MIB);
    expect(brought[0]! + brought[1]! + brought[2]!).toBeLessThan(sizeBytes * 1.1 + 2 * MIB);
  } finally {
    proxy.close();
  }
}, TIMEOUT_MS);
