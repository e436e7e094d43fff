/** Folders that nodes have left, and the command that makes a new cluster of them. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { runCli } from "../../lib/cli/run.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import type { Program } from "../../lib/io/program.ts";
import { inspectLog } from "../../lib/log/inspect.ts";
import { segmentPath } from "../../lib/log/segment_files.ts";
import type { Node } from "../../lib/node.ts";
import { start } from "../node/harness.ts";

/** Adds rows, each in a transaction of its own. */
export async function insert(node: Node, first: number, last: number): Promise<void> {
  for (let i = first; i <= last; i++) {
    await node.client().execute("INSERT INTO t VALUES (?)", [i]);
  }
}

/** @returns The entry up to which the database file is complete now. */
export async function checkpoint(node: Node): Promise<number> {
  const response = await fetch(`${node.httpUrl}/cluster/checkpoint`, { method: "POST" });
  return (await response.json() as { index: number }).index;
}

/** Changes a byte in the body of each of the entries. */
export function rot(dir: string, ...indexes: number[]): void {
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

/** Runs the command on folders, in the test's process. */
export async function recover(dirs: string | readonly string[], ...flags: string[]) {
  const written = { out: "", errors: "" };
  const named = [dirs].flat().flatMap((dir) => ["--dir", dir]);
  const program = {
    args: ["recover", ...named, ...flags],
    env: {},
    stdout: (text: string) => written.out += text,
    stderr: (text: string) => written.errors += text,
    readTextFile: () => "",
  } as unknown as Program;
  return { status: await runCli(program), ...written };
}

/** Starts a node on the folder and reads the table back. */
export async function rows(dir: string): Promise<readonly number[]> {
  const node = await start({ dir });
  const { rows: found } = await node.client().execute("SELECT a FROM t ORDER BY a");
  // The node leads alone and takes writes.
  await node.client().execute("CREATE TABLE afterwards (a)");
  await node.stop();
  return found.map((row) => Number(row["a"]));
}

/** The numbers from 1. */
export function range(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}

/** Everything in a folder, by name and hash, in the folders below it as well. */
export function contents(folder: string): string {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    return `${path} ${Bun.hash(readFileSync(path))}`;
  }).sort().join("\n");
}
