/** Nodes inside the test's own process, and what a test asks of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Node } from "../../lib/node.ts";
import type { NodeOptions } from "../../lib/node_options.ts";

/** Time a test may take. */
export const TIMEOUT_MS = 30_000;
const WAIT_MS = 10_000;
const POLL_MS = 20;

const cleanups: (() => Promise<void> | void)[] = [];

/** Stops the nodes and removes the folders of a test, the last one first; for `afterEach`. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** An empty folder, removed by {@linkcode cleanUp}. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "dqlite-node-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a node on free ports, stopped by {@linkcode cleanUp}. */
export async function start(options: NodeOptions): Promise<Node> {
  const node = await Node.start({ listen: "127.0.0.1:0", http: "127.0.0.1:0", ...options });
  cleanups.push(() => node.stop());
  return node;
}

/** @throws {Error} when the condition does not hold in time. */
export async function waitFor(
  what: string,
  holds: () => Promise<boolean> | boolean,
  timeoutMs: number = WAIT_MS,
): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!await holds()) {
    if (performance.now() > untilMs) throw new Error(`Not in time: ${what}`);
    await Bun.sleep(POLL_MS);
  }
}

/** What a node tells of itself at `/cluster`, as far as tests look at it. */
export interface View {
  readonly nodeId: number;
  readonly role: string;
  readonly recovering: boolean;
  readonly lastIndex: number;
  readonly appliedIndex: number;
  readonly members: readonly { readonly id: number; readonly role: string }[];
}

export async function view(node: Node): Promise<View> {
  return await (await fetch(`${node.httpUrl}/cluster`)).json() as View;
}

/** Starts a cluster of three voters. */
export async function startThree(): Promise<[Node, Node, Node]> {
  const first = await start({ dir: newFolder() });
  const second = await start({ dir: newFolder(), join: [first.address] });
  const third = await start({ dir: newFolder(), join: [first.address] });
  await waitFor("three voters", async () => {
    const { members } = await view(first);
    return members.filter(({ role }) => role === "voter").length === 3;
  });
  return [first, second, third];
}
