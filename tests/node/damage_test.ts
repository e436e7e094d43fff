import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseError } from "../../lib/base/errors.ts";
import type { Node } from "../../lib/node.ts";
import { createLog } from "../../lib/observe/log.ts";
import { SEGMENT_DATA_AT } from "../../lib/wire/segment_header.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";

/** A node that gets what it gave up from the leader may need this long. */
const REPAIR_MS = 15_000;

afterEach(cleanUp);

async function digest(node: Node): Promise<{ index: number; sha256: string }> {
  return await (await fetch(`${node.httpUrl}/cluster/digest`)).json() as never;
}

async function count(node: Node): Promise<number> {
  const { rows } = await node.client().execute("SELECT count(*) AS n FROM t");
  return Number(rows[0]?.["n"]);
}

/** Flips a bit of the first segment of a node's log. */
function damage(dir: string, offset: number): void {
  const names = readdirSync(join(dir, "log")).filter((name) => name.endsWith(".segment"));
  const path = join(dir, "log", names.toSorted()[0]!);
  const bytes = readFileSync(path);
  bytes[offset]! ^= 0x10;
  writeFileSync(path, bytes);
}

test("a node with a damaged log gets what it lost from the leader, and votes again", async () => {
  const folders = [newFolder(), newFolder(), newFolder()];
  const first = await start({ dir: folders[0]! });
  const second = await start({ dir: folders[1]!, join: [first.address] });
  const third = await start({ dir: folders[2]!, join: [first.address] });
  await waitFor("three voters", async () => {
    return (await view(first)).members.filter(({ role }) => role === "voter").length === 3;
  }, REPAIR_MS);
  const client = first.client();
  await client.execute("CREATE TABLE t (a)");
  for (let i = 0; i < 20; i++) await client.execute("INSERT INTO t VALUES (?)", [i]);
  // The databases hold more than what is left of the log.
  await waitFor("the third to hold all", async () => {
    return (await digest(third)).index === (await digest(first)).index;
  }, REPAIR_MS);
  await fetch(`${third.httpUrl}/cluster/checkpoint`, { method: "POST" });
  for (let i = 0; i < 5; i++) await client.execute("INSERT INTO t VALUES (?)", [i]);
  const { address: listen, httpUrl } = third;
  await third.stop();
  damage(folders[2]!, SEGMENT_DATA_AT + 600);
  const lines: string[] = [];
  const log = createLog({
    level: "info",
    format: "text",
    write: (line) => void lines.push(line),
    wallMs: () => Date.now(),
  });
  const again = await start({ dir: folders[2]!, listen, http: new URL(httpUrl).host, log });
  await waitFor("all to be made good", async () => !(await view(again)).recovering, REPAIR_MS);
  await waitFor("the same index", async () => {
    return (await digest(again)).index === (await digest(first)).index;
  }, REPAIR_MS);
  expect((await digest(again)).sha256).toBe((await digest(first)).sha256);
  expect(await count(again)).toBe(25);
  const text = lines.join("\n");
  expect(text).toContain("the log is damaged");
  expect(text).toMatch(/\.segment/);
  expect(text).toContain("recovered");
  // With the first one gone, nothing is decided without it.
  await first.stop();
  await second.client().execute("INSERT INTO t VALUES (1)");
  expect(await count(again)).toBe(26);
}, TIMEOUT_MS);

test("a node that nobody can help refuses a damaged log, and says what can be done", async () => {
  const dir = newFolder();
  const node = await start({ dir });
  await node.client().execute("CREATE TABLE t (a)");
  for (let i = 0; i < 3; i++) await node.client().execute("INSERT INTO t VALUES (?)", [i]);
  await node.stop();
  damage(dir, SEGMENT_DATA_AT + 600);
  let refusal: unknown;
  try {
    await start({ dir });
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(DatabaseError);
  const { code, message, hint } = refusal as DatabaseError;
  expect(code).toBe("CORRUPT");
  expect(message).toMatch(/\.segment is damaged at offset \d+: expected /);
  expect(hint).toContain("dqlite recover --dir DIR --accept-data-loss");
}, TIMEOUT_MS);
