/** Nodes with archives, and points that are restored from them. */
import { Database } from "bun:sqlite";
import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ArchivePace } from "../../lib/archive/archiver.ts";
import type { Node } from "../../lib/node.ts";
import type { StorageOptions } from "../../lib/node_options.ts";
import { newFolder, view, waitFor } from "./harness.ts";
import { commandIn } from "./program.ts";

/** Time that a busy machine may take. */
export const WAIT_MS = 30_000;
export const MIB = 1024 * 1024;
/** Fast enough for tests. */
export const PACE: ArchivePace = { delayMs: 20, retryMaxMs: 100 };
/** Behind a checkpoint next to nothing stays of the log. */
export const STORAGE: StorageOptions = {
  checkpointFrames: 500,
  trailing: { entries: 50, bytes: MIB },
};

/** What a node tells of its archive. */
export interface ArchiveView {
  readonly index: number;
  readonly pendingBytes: number;
  readonly losing: boolean;
  readonly error: string | null;
}

export async function archiveView(node: Node): Promise<ArchiveView> {
  return (await (await fetch(`${node.httpUrl}/cluster`)).json() as { archive: ArchiveView })
    .archive;
}

/** Writes rows, each of a MiB unless told. */
export async function fill(
  node: Node,
  first: number,
  last: number,
  sizeBytes = MIB,
): Promise<void> {
  for (let row = first; row <= last; row++) {
    await node.client().execute({
      sql: "INSERT INTO t VALUES (?, randomblob(?))",
      args: [row, sizeBytes],
    });
  }
}

export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

export async function leaderOf(nodes: readonly Node[]): Promise<Node | undefined> {
  for (const node of nodes) if ((await view(node)).role === "leader") return node;
  return undefined;
}

/** Waits until all that is committed is in the archive. */
export async function archived(node: Node): Promise<number> {
  let lastIndex = 0;
  await waitFor("the archive holds everything", async () => {
    ({ lastIndex } = await view(node));
    return (await archiveView(node)).index >= lastIndex;
  }, WAIT_MS);
  return lastIndex;
}

/** All files of an archive, by their keys. */
export function keys(folder: string, kind: "log" | "base" | "pages"): string[] {
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((key) => key.includes(`/${kind}/`) && key.split("/").length > 2)
    .filter((key) => kind === "base" || key.split("/").length === 4)
    .sort();
}

export function rowsOf(path: string): unknown[] {
  const database = new Database(path, { readonly: true });
  try {
    expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    return database.query("SELECT a FROM t ORDER BY a").values().flat();
  } finally {
    database.close();
  }
}

/** Restores a point into a file. */
export async function restored(
  archive: string,
  at: number | string,
  env: Readonly<Record<string, string>> = {},
): Promise<unknown[]> {
  const path = join(newFolder(), "point.db");
  const args = ["restore", "--archive", archive, "--at", String(at), "--to", path];
  const result = await commandIn(env, ...args);
  expect(result).toMatchObject({ status: 0, errors: "" });
  return rowsOf(path);
}

/** Why a point is not restored; nothing is left behind. */
export async function refused(archive: string, at: number | string): Promise<string> {
  const folder = newFolder();
  const args = ["restore", "--archive", archive, "--at", String(at)];
  const { status, errors } = await commandIn({}, ...args, "--to", join(folder, "point.db"));
  expect(status).toBeGreaterThan(0);
  expect(readdirSync(folder)).toEqual([]);
  return errors;
}
