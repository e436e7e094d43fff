/** What a backup promises while writers go on, whatever runs the nodes and the command. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { waitUntil } from "../../lib/demo/wait.ts";
import { runCommand } from "./command.ts";
import { number, onCluster, run, type Runner, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const CLIENTS = 4;
const WRITES_BEFORE = 100;
const TEST_TIMEOUT_MS = 120_000;
const COUNTED = `CREATE TRIGGER counted AFTER INSERT ON written
  BEGIN UPDATE counter SET n = n + 1; END`;
/** Some size, so that writers change pages while they are copied. */
const BALLAST = `WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
  INSERT INTO ballast SELECT randomblob(2000) FROM n`;
const BALLAST_TIMES = 10;

/** The rows of a file, read by a SQLite that knows nothing of replication. */
function contentOf(path: string): { written: number[]; counted: number } {
  const database = new Database(path, { readonly: true });
  try {
    expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    expect(database.query("PRAGMA journal_mode").values()).toEqual([["delete"]]);
    const written = database.query("SELECT n FROM written ORDER BY n").values();
    const counted = database.query("SELECT n FROM counter").values();
    return { written: written.map(([n]) => Number(n)), counted: Number(counted[0]![0]) };
  } finally {
    database.close();
  }
}

/** Defines the test for nodes and commands run that way. */
export function testBackup(runner: Runner): void {
  test(
    `${runner}: a backup of any node under writes is one moment that holds all acknowledged before`,
    async () => {
      await onCluster({ runner }, async ({ nodes, folder }) => {
        await run(nodes[0]!, WRITTEN_TABLE);
        await run(nodes[0]!, "CREATE TABLE counter(n INTEGER)");
        await run(nodes[0]!, "INSERT INTO counter VALUES(0)");
        await run(nodes[0]!, COUNTED);
        await run(nodes[0]!, "CREATE TABLE ballast(x)");
        for (let i = 0; i < BALLAST_TIMES; i++) await run(nodes[0]!, BALLAST);
        const writers = new Writers(nodes, CLIENTS);
        writers.start();
        try {
          for (const node of nodes) {
            const target = writers.acknowledged.length + WRITES_BEFORE;
            await waitUntil("the clients write", START_TIMEOUT_MS, () => {
              return writers.acknowledged.length >= target;
            });
            const before = [...writers.acknowledged];
            const path = `${folder}/backup-${node.name}.db`;
            const ended = await runCommand(runner, "backup", "--url", node.url, path);
            expect(ended).toMatchObject({ status: 0, errors: "" });
            expect(ended.out).toContain(`from ${node.url}, verified`);

            const { written, counted } = contentOf(path);
            expect(counted).toBe(written.length);
            expect(new Set(written).size).toBe(written.length);
            const held = new Set(written);
            expect(before.filter((n) => !held.has(n))).toEqual([]);
          }
        } finally {
          await writers.stop();
        }
        const [left, ...others] = nodes;
        const acknowledged = await number(left!, "SELECT count(*) FROM written");
        for (const node of others) await node.kill();
        const path = `${folder}/stale.db`;
        const refused = await runCommand(runner, "backup", "--url", left!.url, path);
        expect(refused).toMatchObject({ status: 1, out: "" });
        const stale = await runCommand(runner, "backup", "--url", left!.url, "--stale", path);
        expect(stale).toMatchObject({ status: 0, errors: "" });
        expect(contentOf(path).written.length).toBeGreaterThanOrEqual(acknowledged);
        expect(readdirSync(folder).filter((name) => name.includes("partial"))).toEqual([]);
        expect(existsSync(`${folder}/backup-${nodes[0]!.name}.db-wal`)).toBe(false);
      });
    },
    TEST_TIMEOUT_MS,
  );
}
