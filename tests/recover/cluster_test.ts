import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../lib/io/process.ts";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, view, waitFor } from "../node/harness.ts";
import { checkpoint, contents, insert, range, recover, rot, rows } from "./harness.ts";

const TIMEOUT_MS = 60_000;
const WAIT_MS = 20_000;

afterEach(cleanUp);

interface Lost {
  readonly dirs: readonly string[];
  readonly ids: readonly number[];
  readonly lastIndex: number;
}

/**
 * Three voters that are down: rows 1 to 6 are on all, 7 to 9 on the first two only. The database
 * file of the first is complete up to row 3, those of the others are empty.
 */
async function lostCluster(): Promise<Lost> {
  const dirs = [newFolder(), newFolder(), newFolder()];
  const nodes: Node[] = [await start({ dir: dirs[0]! })];
  for (const dir of dirs.slice(1)) {
    nodes.push(await start({ dir, join: [nodes[0]!.address] }));
  }
  const [first, second, third] = nodes as [Node, Node, Node];
  await waitFor("three voters", async () => {
    return (await view(first)).members.filter(({ role }) => role === "voter").length === 3;
  }, WAIT_MS);
  await first.client().execute("CREATE TABLE t (a)");
  await insert(first, 1, 3);
  await checkpoint(first);
  await insert(first, 4, 6);
  const { lastIndex: common } = await view(first);
  await waitFor("all to hold six rows", async () => {
    return (await view(second)).lastIndex === common && (await view(third)).lastIndex === common;
  }, WAIT_MS);
  await third.stop();
  await insert(first, 7, 9);
  const { lastIndex } = await view(first);
  await waitFor("the second to hold nine rows", async () => {
    return (await view(second)).lastIndex >= lastIndex;
  }, WAIT_MS);
  await second.stop();
  await first.stop();
  return { dirs, ids: dirs.map(nodeIdOf), lastIndex };
}

function nodeIdOf(dir: string): number {
  return JSON.parse(readFileSync(join(dir, "identity.json"), "utf8")).nodeId;
}

test("a majority that is whole loses nothing, and needs no permission", async () => {
  const { dirs, ids } = await lostCluster();
  const before = [contents(dirs[1]!), contents(dirs[2]!)];
  const { status, out, errors } = await recover([dirs[2]!, dirs[1]!]);
  expect([status, errors]).toEqual([0, ""]);
  expect(out).toContain(`${dirs[1]}: node ${ids[1]} of cluster `);
  expect(out).toContain(`${dirs[2]}: node ${ids[2]} of cluster `);
  expect(out).toContain(`Taken: ${dirs[1]}: `);
  expect(out).toContain("Nothing is lost: a majority of the voters is here, and whole\n");
  expect(contents(dirs[2]!)).toBe(before[1]!);
  expect(contents(join(dirs[1]!, "log.old-1")).replaceAll("log.old-1", "log"))
    .toBe(before[0]!.split("\n").filter((line) => line.includes("/log/")).join("\n"));
  expect(await rows(dirs[1]!)).toEqual(range(9));
}, TIMEOUT_MS);

test("a minority says who is missing, and changes nothing until that is accepted", async () => {
  const { dirs, ids } = await lostCluster();
  const before = contents(dirs[2]!);
  const refused = await recover(dirs[2]!);
  expect(refused.status).not.toBe(0);
  expect(refused.out).toContain(
    `2 of 3 are not here, or not whole: ${
      ids.filter((id) => id !== ids[2]).sort((a, b) => a - b).join(", ")
    }\n`,
  );
  expect(refused.errors).toContain("Nothing was changed: recover needs --accept-data-loss");
  expect(contents(dirs[2]!)).toBe(before);
  expect((await recover(dirs[2]!, "--accept-data-loss")).status).toBe(0);
  expect(await rows(dirs[2]!)).toEqual(range(6));
}, TIMEOUT_MS);

test("all folders go over into a new cluster of three, made elsewhere", async () => {
  const { dirs } = await lostCluster();
  const before = dirs.map(contents);
  const to = join(newFolder(), "new");
  const ports = await freePorts(3);
  const nodes = ports.map((port, at) => `${at + 1}=127.0.0.1:${port}`).join(",");
  const { status, out, errors } = await recover(dirs, "--to", to, "--nodes", nodes);
  expect([status, errors]).toEqual([0, ""]);
  expect(out).toContain(`dqlite serve --dir ${to}/2 --listen 127.0.0.1:${ports[1]}\n`);
  expect(dirs.map(contents)).toEqual(before);
  expect(readdirSync(to).sort()).toEqual(["1", "2", "3"]);
  expect(existsSync(`${to}.partial`)).toBe(false);
  const started = await Promise.all(ports.map((port, at) => {
    return start({ dir: `${to}/${at + 1}`, listen: `127.0.0.1:${port}` });
  }));
  await started[0]!.client().execute("INSERT INTO t VALUES (10)");
  for (const node of started) {
    expect((await view(node)).members.map(({ id, role }) => [id, role])).toEqual([
      [1, "voter"],
      [2, "voter"],
      [3, "voter"],
    ]);
    const { rows: found } = await node.client().execute("SELECT a FROM t ORDER BY a");
    expect(found.map((row) => Number(row["a"]))).toEqual(range(10));
  }
  // It is a cluster like any other: who comes later joins.
  const fourth = await start({ dir: newFolder(), join: [started[1]!.address] });
  const { rows: found } = await fourth.client().execute("SELECT count(*) AS n FROM t");
  expect(Number(found[0]!["n"])).toBe(10);
}, TIMEOUT_MS);

test("damage in one folder is made good by another", async () => {
  const { dirs, lastIndex } = await lostCluster();
  rot(dirs[0]!, lastIndex - 3);
  const one = await recover(dirs[0]!, "--dry-run");
  expect(one.out).toContain("May be lost:\n");
  // Two of three are whole, and one of these holds all.
  const { status, out } = await recover(dirs);
  expect(out).toContain("damaged: ");
  expect(out).toContain(`Taken: ${dirs[1]}: `);
  expect(status).toBe(0);
  expect(await rows(dirs[1]!)).toEqual(range(9));
}, TIMEOUT_MS);

test("a node whose log was cut counts for what it holds, and not as a voter", async () => {
  const { dirs, lastIndex } = await lostCluster();
  rot(dirs[0]!, lastIndex - 3);
  // It starts, gives up what follows the damage, and waits for a leader in vain.
  const cut = await start({ dir: dirs[0]! });
  expect((await view(cut)).recovering).toBe(true);
  await cut.stop();
  const refused = await recover([dirs[0]!, dirs[2]!]);
  expect(refused.out).toContain("  recovering: ");
  expect(refused.out).toContain("May be lost:\n");
  expect(refused.status).not.toBe(0);
}, TIMEOUT_MS);

test("a dry run changes nothing", async () => {
  const { dirs } = await lostCluster();
  const before = dirs.map(contents);
  const { status, out } = await recover(dirs, "--dry-run");
  expect([status, out]).toEqual([0, expect.stringContaining("Nothing is lost")]);
  expect(dirs.map(contents)).toEqual(before);
}, TIMEOUT_MS);

test("folders that do not belong together are refused", async () => {
  const [one, other] = [newFolder(), newFolder()];
  for (const dir of [one, other]) await (await start({ dir })).stop();
  const before = [one, other].map(contents);
  expect((await recover([one, other])).errors).toContain(" of cluster ");
  expect((await recover([one, one])).errors).toContain("are both of node ");
  expect([one, other].map(contents)).toEqual(before);
}, TIMEOUT_MS);

test("what the options ask for has to make sense", async () => {
  const dir = newFolder();
  await (await start({ dir })).stop();
  const before = contents(dir);
  const to = newFolder();
  const refusal = async (...flags: string[]) => (await recover(dir, ...flags)).errors;
  expect(await refusal("--nodes", "1=127.0.0.1:9001")).toContain("--nodes needs --to");
  const twice = "1=127.0.0.1:9001,1=127.0.0.1:9002";
  expect(await refusal("--to", to, "--nodes", twice)).toContain("the id 1 twice");
  expect(await refusal("--to", to, "--nodes", "x=127.0.0.1:9001")).toContain(
    "must be ID=HOST:PORT",
  );
  expect(await refusal("--to", dir)).toContain("is not empty");
  expect(contents(dir)).toBe(before);
  expect(readdirSync(to).sort()).toEqual([]);
}, TIMEOUT_MS);
