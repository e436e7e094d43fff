import { afterEach, expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { pause } from "../../lib/demo/wait.ts";
import type { Node } from "../../lib/node.ts";
import { commandOf, DEFAULT_RUNNER } from "../cluster/harness.ts";
import { makeSample, SAMPLE_QUERIES, sampleContent } from "../cluster/sample.ts";
import { cleanUp, newFolder, start, waitFor } from "./harness.ts";
import { command } from "./program.ts";

const TIMEOUT_MS = 240_000;
/** Some 20 MB: several entries, and segments, of the log. */
const LARGE_ROWS = 18_000;
const KILLS = 5;

afterEach(cleanUp);

async function shownBy(node: Node): Promise<string[]> {
  const shown: string[] = [];
  for (const sql of SAMPLE_QUERIES) {
    const { rows } = await node.client().execute(sql);
    shown.push(JSON.stringify(rows.map((row) => Array.from(row as ArrayLike<unknown>, plain))));
  }
  return shown;
}

function plain(value: unknown): unknown {
  return value instanceof ArrayBuffer ? new Uint8Array(value).toHex() : value;
}

test("a cluster begins with a file of any page size and encoding, and grows", async () => {
  const forms = [
    { pageSize: 4_096, rows: LARGE_ROWS },
    { pageSize: 512, rows: 50 },
    { pageSize: 65_536, rows: 3_000, encoding: "UTF-16le" },
  ];
  for (const form of forms) {
    const path = `${newFolder()}/sample.db`;
    makeSample(path, form);
    const expected = sampleContent(path);
    const first = await start({ dir: newFolder(), from: path });
    expect(await shownBy(first)).toEqual(expected);
    const { rows } = await first.client().execute("PRAGMA page_size");
    expect(rows[0]![0]).toBe(form.pageSize);
    const second = await start({ dir: newFolder(), join: [first.address] });
    expect(await shownBy(second)).toEqual(expected);
    await second.client().execute("INSERT INTO sample_pairs VALUES ('four', 4)");
    const digests = async () =>
      await Promise.all(
        [first, second].map(async ({ httpUrl }) =>
          await (await fetch(`${httpUrl}/cluster/digest`)).json() as { index: number }
        ),
      );
    await waitFor("both nodes are equal", async () => {
      const [one, other] = await digests();
      return one!.index === other!.index && JSON.stringify(one) === JSON.stringify(other);
    });
    await cleanUp();
  }
}, TIMEOUT_MS);

test("a node that began with a file starts again without it, and not with it", async () => {
  const path = `${newFolder()}/sample.db`;
  const dir = newFolder();
  makeSample(path);
  const node = await start({ dir, from: path });
  await node.client().execute("DELETE FROM sample WHERE a > 10");
  await node.stop();
  await expect(start({ dir, from: path })).rejects.toMatchObject({
    code: "DATA_FOLDER",
    message: expect.stringContaining("holds a node of cluster"),
  });
  const again = await start({ dir });
  const { rows } = await again.client().execute("SELECT count(*) FROM sample");
  expect(rows[0]![0]).toBe(10);
}, TIMEOUT_MS);

test("a file does not go with --join, and no folder is made for one that is damaged", async () => {
  const path = `${newFolder()}/sample.db`;
  makeSample(path);
  await expect(start({ dir: newFolder(), from: path, join: ["127.0.0.1:1"] })).rejects
    .toMatchObject({ code: "CONFIG", message: expect.stringContaining("--join") });
  const dir = `${newFolder()}/new`;
  const { status, errors } = await command("restore", "--dir", dir, import.meta.path);
  expect(status).toBe(1);
  expect(errors).toContain("is no SQLite database");
  expect(statSync(dir, { throwIfNoEntry: false })).toBeUndefined();
}, TIMEOUT_MS);

test("restore --dir makes the folder of a new cluster, once", async () => {
  const path = `${newFolder()}/sample.db`;
  const dir = `${newFolder()}/new`;
  makeSample(path, { pageSize: 1_024 });
  const made = await command("restore", "--dir", dir, path);
  expect(made).toMatchObject({ status: 0, errors: "" });
  expect(made.out).toContain(`dqlite serve --dir ${dir}`);
  const again = await command("restore", "--dir", dir, path);
  expect(again.status).toBe(1);
  expect(again.errors).toContain("holds a node of cluster");
  const node = await start({ dir });
  expect(await shownBy(node)).toEqual(sampleContent(path));
}, TIMEOUT_MS);

test("a founding that is killed at any moment begins anew, or is whole", async () => {
  const path = `${newFolder()}/sample.db`;
  makeSample(path, { rows: LARGE_ROWS });
  const expected = sampleContent(path);
  const run = (dir: string) =>
    Bun.spawn([...commandOf(DEFAULT_RUNNER), "restore", "--dir", dir, path], { stderr: "pipe" });
  const began = performance.now();
  expect(await run(newFolder()).exited).toBe(0);
  const tookMs = performance.now() - began;
  let anew = 0;
  for (let kill = 1; kill <= KILLS; kill++) {
    const dir = newFolder();
    const child = run(dir);
    await pause(tookMs * kill / (KILLS + 1));
    child.kill("SIGKILL");
    await child.exited;
    const second = run(dir);
    const status = await second.exited;
    if (status === 0) anew++;
    else expect(await new Response(second.stderr).text()).toContain("holds a node of cluster");
    const node = await start({ dir });
    expect(await shownBy(node)).toEqual(expected);
    await node.stop();
    expect(readdirSync(dir)).toContain("main.db");
  }
  expect(anew).toBeGreaterThan(0);
}, TIMEOUT_MS);
