/** What a restore into a running cluster promises, whatever runs the nodes and the command. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "../../lib/client/client.ts";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import type { HranaValue } from "../../lib/demo/sql.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import { runCommand } from "./command.ts";
import { onCluster, run, type Runner } from "./harness.ts";
import { makeSample, SAMPLE_QUERIES, sampleContent } from "./sample.ts";

const ROWS = 5_000;
const ATTEMPTS_MAX = 8;
const TEST_TIMEOUT_MS = 120_000;

/** What a node itself shows of a sample. */
export async function shownBy(node: NodeProcess): Promise<string[]> {
  const shown: string[] = [];
  for (const sql of SAMPLE_QUERIES) {
    const rows = await run(node, sql);
    shown.push(JSON.stringify(rows.map((row) => row.map(valueOf))));
  }
  return shown;
}

function valueOf(value: HranaValue | { readonly type: "blob"; readonly base64: string }): unknown {
  if (value.type === "null") return null;
  if (value.type === "blob") return Uint8Array.fromBase64(value.base64).toHex();
  return value.type === "integer" ? Number(value.value) : value.value;
}

/** Restores, again when leadership is lost meanwhile, as it may be on a machine under load. */
export async function restoreAtLast(runner: Runner, ...args: string[]): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const ended = await runCommand(runner, "restore", ...args);
    const again = ended.errors.includes("not known") || ended.errors.includes("does not lead");
    if (again && attempt < ATTEMPTS_MAX) continue;
    expect(ended).toMatchObject({ status: 0, errors: "" });
    return;
  }
}

/** Every node's database is the same, page by page, once all are at the same entry. */
export async function expectEqualPages(nodes: readonly NodeProcess[]): Promise<void> {
  const digests = await waitUntil("all nodes are at one entry", TEST_TIMEOUT_MS, async () => {
    const all = await Promise.all(nodes.map((node) => node.digest()));
    return new Set(all.map(({ index }) => index)).size === 1 ? all : undefined;
  });
  expect(digests.map(({ sha256 }) => sha256)).toEqual(digests.map(() => digests[0]!.sha256));
}

/** Defines the test for nodes and commands run that way. */
export function testRestore(runner: Runner): void {
  test(
    `${runner}: a file takes the place of the whole database, on all nodes, for open sessions too`,
    async () => {
      await onCluster({ runner }, async ({ cluster, nodes, folder }) => {
        const leader = await cluster.leader(TEST_TIMEOUT_MS);
        const follower = nodes.find((node) => node !== leader)!;
        await run(leader, "CREATE TABLE sample(old)");
        await run(leader, "INSERT INTO sample VALUES('before')");
        const client = connect({ urls: leader.url });
        using _closing = { [Symbol.dispose]: () => client.close() };
        const session = client.session();
        expect((await session.execute("SELECT old FROM sample")).rows[0]![0]).toBe("before");

        // The pages of one have the cluster's size; those of the other are converted.
        for (const pageSize of [4_096, 1_024]) {
          const path = `${folder}/sample-${pageSize}.db`;
          makeSample(path, { pageSize, rows: ROWS, mark: `page size ${pageSize}` });
          const bytes = readFileSync(path);
          const refused = await runCommand(runner, "restore", "--url", follower.url, path);
          expect(refused).toMatchObject({ status: 1, out: "" });
          expect(refused.errors).toContain("The database is not empty");
          expect(refused.errors).toContain("--force");

          const urls = `${follower.url},${leader.url}`;
          await restoreAtLast(runner, "--url", urls, "--force", path);
          const expected = sampleContent(path);
          for (const node of nodes) expect(await shownBy(node)).toEqual(expected);
          const { rows } = await session.execute("SELECT max(b) FROM sample");
          expect(rows[0]![0]).toBe(`page size ${pageSize} 999`);
          expect(readFileSync(path).equals(bytes)).toBe(true);
          await expectEqualPages(nodes);
        }
        session.close();
        await run(follower, "INSERT INTO sample_pairs VALUES('four', 4)");
        for (const node of nodes) {
          expect((await run(node, "SELECT n FROM sample_view"))[0]).toEqual([
            { type: "integer", value: "4" },
          ]);
        }
      });
    },
    TEST_TIMEOUT_MS,
  );

  test(`${runner}: a file that is no sound database changes nothing`, async () => {
    await onCluster({ runner, count: 1 }, async ({ nodes, folder }) => {
      const [node] = nodes;
      await run(node!, "CREATE TABLE t(a)");
      const sound = `${folder}/sound.db`;
      makeSample(sound, { rows: 500 });
      const bytes = readFileSync(sound);
      const bad: readonly (readonly [string, Uint8Array, string])[] = [
        ["text.db", new TextEncoder().encode("hello".repeat(1_000)), "is no SQLite database"],
        ["empty.db", new Uint8Array(0), "is no SQLite database"],
        ["cut.db", bytes.subarray(0, bytes.length / 2), "cut.db"],
        [
          "rotten.db",
          bytes.map((byte, at) => at > 8_192 && at < 90_000 ? 0xa5 : byte),
          "rotten.db",
        ],
      ];
      for (const [name, content, message] of bad) {
        const path = `${folder}/${name}`;
        writeFileSync(path, content);
        const ended = await runCommand(runner, "restore", "--url", node!.url, "--force", path);
        expect([name, ended.status, ended.out]).toEqual([name, 1, ""]);
        expect(ended.errors).toContain(message);
      }
      const utf16 = `${folder}/utf16.db`;
      makeSample(utf16, { encoding: "UTF-16le" });
      const refused = await runCommand(runner, "restore", "--url", node!.url, "--force", utf16);
      expect(refused.status).toBe(2);
      expect(refused.errors).toContain("UTF-16le");
      const missing = await runCommand(runner, "restore", "--url", node!.url, `${folder}/no.db`);
      expect(missing.status).toBe(2);
      expect(await run(node!, "SELECT name FROM sqlite_schema")).toEqual([
        [{ type: "text", value: "t" }],
      ]);
    });
  }, TEST_TIMEOUT_MS);
}
