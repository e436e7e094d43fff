import { afterEach, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseError } from "../../lib/base/errors.ts";
import { runCli } from "../../lib/cli/run.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import type { Program } from "../../lib/io/program.ts";
import { inspectLog } from "../../lib/log/inspect.ts";
import { segmentPath } from "../../lib/log/segment_files.ts";
import type { Node } from "../../lib/node.ts";
import { writeCheckpoint } from "../../lib/replica/checkpoint_record.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS } from "./harness.ts";

afterEach(cleanUp);

async function insert(node: Node, first: number, last: number): Promise<void> {
  for (let i = first; i <= last; i++) {
    await node.client().execute("INSERT INTO t VALUES (?)", [i]);
  }
}

async function checkpoint(node: Node): Promise<number> {
  const response = await fetch(`${node.httpUrl}/cluster/checkpoint`, { method: "POST" });
  return (await response.json() as { index: number }).index;
}

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

/** Changes a byte in the body of each of the entries. */
function rot(dir: string, ...indexes: number[]): void {
  const log = join(dir, "log");
  const report = inspectLog(new NodeDisk(), log, undefined);
  const places = indexes.map((index) => report.tables[0]!.position(index));
  report.files.close();
  for (const { segment, offset } of places) {
    const file = openSync(segmentPath(log, segment), "r+");
    const byte = new Uint8Array(1);
    readSync(file, byte, 0, 1, offset + 48);
    writeSync(file, Uint8Array.of(byte[0]! ^ 4), 0, 1, offset + 48);
    closeSync(file);
  }
}

async function recover(dir: string, ...flags: string[]) {
  const written = { out: "", errors: "" };
  const program: Program = {
    args: ["recover", "--dir", dir, ...flags],
    env: {},
    platform: "test",
    stdout: (text) => written.out += text,
    stderr: (text) => written.errors += text,
    readTextFile: () => "",
    wallMs: () => 0,
    onStopRequest: () => {},
    exit: () => {
      throw new Error("exit");
    },
  } as Program;
  return { status: await runCli(program), ...written };
}

async function rows(dir: string): Promise<readonly number[]> {
  const node = await start({ dir });
  const { rows: found } = await node.client().execute("SELECT a FROM t ORDER BY a");
  // The node leads alone and takes writes.
  await node.client().execute("CREATE TABLE afterwards (a)");
  await node.stop();
  return found.map((row) => Number(row["a"]));
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

function range(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}

function contents(folder: string): string {
  return readdirSync(folder).map((name) => {
    return `${name} ${Bun.hash(readFileSync(join(folder, name)))}`;
  }).join("\n");
}

test("recovery says what would be lost, and does nothing until that is accepted", async () => {
  const dir = newFolder();
  const { lastIndex } = await stopped(dir, 5, 5);
  rot(dir, lastIndex - 1);
  const before = contents(join(dir, "log"));
  const { status, out, errors } = await recover(dir);
  expect(status).not.toBe(0);
  expect(out).toContain("damaged: ");
  expect(out).toContain(".segment at offset ");
  expect(out).toContain(`and the entries 1 to ${lastIndex - 2} of the log\n`);
  expect(errors).toContain("--accept-data-loss");
  expect(contents(join(dir, "log"))).toBe(before);
  expect((await refusal(dir)).code).toBe("CORRUPT");
}, TIMEOUT_MS);

test("what the database file holds survives damage before its checkpoint", async () => {
  const dir = newFolder();
  const { checkpointIndex } = await stopped(dir, 8, 4);
  rot(dir, checkpointIndex - 3);
  const { status, out } = await recover(dir, "--accept-data-loss");
  expect([status, out]).toEqual([0, expect.stringContaining("log.damaged-1")]);
  expect(await rows(dir)).toEqual(range(12));
}, TIMEOUT_MS);

test("what follows damage behind the checkpoint is lost, and only that", async () => {
  const dir = newFolder();
  const { lastIndex } = await stopped(dir, 6, 6);
  rot(dir, lastIndex - 2);
  const { status, out } = await recover(dir, "--accept-data-loss");
  expect(status).toBe(0);
  expect(out).toContain("lost: ");
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
    expect(out).toContain("kept: the database file, and no entry of the log");
    expect(await rows(dir)).toEqual(range(6));
  },
  TIMEOUT_MS,
);

test("a whole log loses nothing, and the folder begins a new cluster", async () => {
  const dir = newFolder();
  await stopped(dir, 3, 3);
  const identity = () => JSON.parse(readFileSync(join(dir, "identity.json"), "utf8"));
  const before = identity();
  const { status, out } = await recover(dir, "--accept-data-loss");
  expect(status).toBe(0);
  expect(out).toContain("lost: nothing that this folder held");
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
  expect(existsSync(join(dir, "log.damaged-1"))).toBe(false);
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
