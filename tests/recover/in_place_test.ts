import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseError } from "../../lib/base/errors.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { writeCheckpoint } from "../../lib/replica/checkpoint_record.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS } from "../node/harness.ts";
import { checkpoint, contents, insert, range, recover, rot, rows } from "./harness.ts";

afterEach(cleanUp);

/** A node that stopped; rows 1 to `before` are in the database file, the others in the log only. */
async function stopped(
  dir: string,
  before: number,
  after: number,
): Promise<{ checkpointIndex: number; lastIndex: number }> {
  const node = await start({ dir });
  await node.client().execute("CREATE TABLE t (a)");
  await insert(node, 1, before);
  const checkpointIndex = before === 0 ? 2 : await checkpoint(node);
  await insert(node, before + 1, before + after);
  const { lastIndex } = await (await fetch(`${node.httpUrl}/cluster`)).json() as never;
  await node.stop();
  return { checkpointIndex, lastIndex };
}

async function refusal(dir: string): Promise<DatabaseError> {
  try {
    await start({ dir });
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error("The node started");
}

test("recovery says what would be lost, and does nothing until that is accepted", async () => {
  const dir = newFolder();
  const { lastIndex } = await stopped(dir, 5, 5);
  rot(dir, lastIndex - 1);
  const before = contents(dir);
  const { status, out, errors } = await recover(dir);
  expect(status).not.toBe(0);
  expect(out).toContain("damaged: ");
  expect(out).toContain(".segment at offset ");
  expect(out).toContain(`log: from entry 1 up to entry ${lastIndex - 2} of term 2\n`);
  expect(out).toContain(
    `  the entries ${lastIndex - 1} to ${lastIndex}, of which ${dir} has traces`,
  );
  expect(errors).toContain("--accept-data-loss");
  expect(contents(dir)).toBe(before);
  expect((await refusal(dir)).code).toBe("CORRUPT");
}, TIMEOUT_MS);

test("what the database file holds survives damage before its checkpoint", async () => {
  const dir = newFolder();
  const { checkpointIndex } = await stopped(dir, 8, 4);
  rot(dir, checkpointIndex - 3);
  const { status, out } = await recover(dir, "--accept-data-loss");
  expect([status, out]).toEqual([0, expect.stringContaining("log.old-1")]);
  expect(await rows(dir)).toEqual(range(12));
}, TIMEOUT_MS);

test("what follows damage behind the checkpoint is lost, and only that", async () => {
  const dir = newFolder();
  const { lastIndex } = await stopped(dir, 6, 6);
  rot(dir, lastIndex - 2);
  const { status, out } = await recover(dir, "--accept-data-loss");
  expect(status).toBe(0);
  expect(out).toContain("May be lost:\n");
  expect(await rows(dir)).toEqual(range(9));
}, TIMEOUT_MS);

test(
  "a log whose damage hides the checkpoint's entry begins behind the database file",
  async () => {
    const dir = newFolder();
    const { checkpointIndex, lastIndex } = await stopped(dir, 6, 3);
    rot(dir, ...range(lastIndex).slice(checkpointIndex - 1));
    const { status, out } = await recover(dir, "--accept-data-loss");
    expect(status).toBe(0);
    expect(out).toContain("log: none of use; ");
    expect(await rows(dir)).toEqual(range(6));
  },
  TIMEOUT_MS,
);

test("a whole log loses nothing, and the folder begins a new cluster", async () => {
  const dir = newFolder();
  await stopped(dir, 3, 3);
  const identity = () => JSON.parse(readFileSync(join(dir, "identity.json"), "utf8"));
  const before = identity();
  const { status, out } = await recover(dir);
  expect(status).toBe(0);
  expect(out).toContain("Nothing is lost: it was the only voter, and is whole");
  expect(identity().nodeId).toBe(before.nodeId);
  expect(identity().clusterId).not.toBe(before.clusterId);
  expect(await rows(dir)).toEqual(range(6));
}, TIMEOUT_MS);

test("a node whose cluster is gone goes on alone", async () => {
  const dirs = [newFolder(), newFolder()];
  const first = await start({ dir: dirs[0]! });
  const second = await start({ dir: dirs[1]!, join: [first.address] });
  await first.client().execute("CREATE TABLE t (a)");
  await insert(second, 1, 5);
  await first.stop();
  await second.stop();
  expect((await recover(dirs[1]!, "--accept-data-loss")).status).toBe(0);
  expect(await rows(dirs[1]!)).toEqual(range(5));
}, TIMEOUT_MS);

test("a lost record of the checkpoint has the database made anew from a whole log", async () => {
  const dir = newFolder();
  await stopped(dir, 4, 2);
  for (const name of ["checkpoint", "checkpoint.copy"]) writeFileSync(join(dir, name), "rotten");
  expect((await refusal(dir)).code).toBe("CORRUPT");
  expect((await recover(dir, "--accept-data-loss")).status).toBe(0);
  expect(await rows(dir)).toEqual(range(6));
}, TIMEOUT_MS);

test("a checkpoint that was cut off is not believed without the entries it copied", async () => {
  const dir = newFolder();
  const { checkpointIndex, lastIndex } = await stopped(dir, 4, 4);
  const record = { completeIndex: checkpointIndex, fuzzyIndex: lastIndex };
  writeCheckpoint(new NodeDisk(), dir, record);
  rot(dir, lastIndex - 1);
  const { status, errors } = await recover(dir, "--accept-data-loss");
  expect(status).not.toBe(0);
  expect(errors).toContain(`not all entries up to ${lastIndex} can be read`);
  expect(existsSync(join(dir, "log.old-1"))).toBe(false);
}, TIMEOUT_MS);

test("a recovery that was cut off between two names is taken to its end", async () => {
  const dir = newFolder();
  await stopped(dir, 2, 2);
  expect((await recover(dir, "--accept-data-loss")).status).toBe(0);
  renameSync(join(dir, "log"), join(dir, "log.new"));
  expect((await recover(dir, "--accept-data-loss")).status).toBe(0);
  expect(await rows(dir)).toEqual(range(4));
}, TIMEOUT_MS);

test("a folder in use, or of no cluster, is not recovered", async () => {
  const dir = newFolder();
  await start({ dir });
  expect((await recover(dir, "--accept-data-loss")).errors).toContain("is in use");
  const empty = newFolder();
  expect((await recover(empty, "--accept-data-loss")).errors).toContain("is not the data folder");
  expect(readdirSync(empty)).toEqual([]);
}, TIMEOUT_MS);
