/**
 * Real nodes as processes of their own, on free ports of 127.0.0.1 and in a folder of their own.
 * Whatever a test does, they are gone afterwards.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { LocalCluster, NodeProcess } from "../../lib/demo/nodes.ts";
import { type HranaValue, query, type Reply } from "../../lib/demo/sql.ts";
import { freePorts, temporaryFolder } from "../../lib/io/process.ts";

/** How nodes are run. */
export type Runner = "executable" | "bun" | "deno";

const ROOT = new URL("../../", import.meta.url).pathname;
const EXECUTABLE = join(ROOT, "dist/dqlite");
/** Time a cluster gets to come up, or to come back. */
export const START_TIMEOUT_MS = 30_000;
/** Lines of a node's output that a failed test shows. */
const OUTPUT_LINES_MAX = 40;

/** The compiled executable where it was built, the script under Bun elsewhere. */
export const DEFAULT_RUNNER: Runner = existsSync(EXECUTABLE) ? "executable" : "bun";

/** The command before the first argument of the program. */
export function commandOf(runner: Runner): readonly string[] {
  switch (runner) {
    case "executable":
      return [EXECUTABLE];
    case "bun":
      return [process.execPath, join(ROOT, "cli.ts")];
    case "deno":
      return [denoBinary(), "run", "-A", join(ROOT, "cli.ts")];
  }
}

/** Deno itself: its package's command is a wrapper, and killing that would leave the node alive. */
export function denoBinary(): string {
  const scope = join(ROOT, "node_modules/@deno");
  for (const name of readdirSync(scope)) {
    const binary = join(scope, name, "deno");
    if (existsSync(binary)) return binary;
  }
  throw new Error(`There is no deno under ${scope}: run bun install`);
}

/** What a test gets. */
export interface Stage {
  readonly cluster: LocalCluster;
  readonly nodes: readonly NodeProcess[];
  /** The folder in which the nodes have theirs. */
  readonly folder: string;
  /** Describes one more node, which is killed with the others. */
  addNode(name: string, options?: ExtraNode): Promise<NodeProcess>;
}

/** What may differ for a node that is added. */
export interface ExtraNode {
  readonly join?: readonly string[];
  readonly role?: string;
  readonly folder?: string;
  readonly listenPort?: number;
  readonly httpPort?: number;
  /** The program, before its first argument. */
  readonly command?: readonly string[];
}

/** Starts a cluster, runs a test on it, and cleans up; shows the nodes' output when it fails. */
export async function onCluster(
  options: {
    readonly count?: number;
    readonly runner?: Runner;
    /** Variables of the nodes' environment. */
    readonly env?: Readonly<Record<string, string>>;
  },
  body: (stage: Stage) => Promise<void>,
): Promise<void> {
  const { path: folder, remove } = temporaryFolder("dqlite-cluster-");
  const variables = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const command = [
    ...variables.length === 0 ? [] : ["env", ...variables],
    ...commandOf(options.runner ?? DEFAULT_RUNNER),
  ];
  const cluster = await LocalCluster.plan({ command, folder, count: options.count ?? 3 });
  const all = [...cluster.nodes];
  const addNode = async (name: string, extra: ExtraNode = {}) => {
    const [listenPort, httpPort] = await freePorts(2);
    const node = new NodeProcess({
      name,
      command: extra.command ?? command,
      folder: extra.folder ?? join(folder, name),
      listenPort: extra.listenPort ?? listenPort!,
      httpPort: extra.httpPort ?? httpPort!,
      join: extra.join ?? [],
      role: extra.role,
    });
    all.push(node);
    return node;
  };
  try {
    await cluster.start(START_TIMEOUT_MS);
    await body({ cluster, nodes: cluster.nodes, folder, addNode });
  } catch (error) {
    for (const node of all) {
      const lines = node.output.trimEnd().split("\n").slice(-OUTPUT_LINES_MAX);
      console.error(`--- ${node.name} ${node.url}\n${lines.join("\n")}`);
    }
    throw error;
  } finally {
    await Promise.all(all.map((node) => node.kill()));
    remove();
  }
}

/** Asks a node to change the cluster. @throws {Error} when it refuses. */
export async function post(node: NodeProcess, path: string, body: unknown): Promise<unknown> {
  const response = await fetch(node.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** Runs a statement at a node. @throws {Error} when it is refused. */
export async function run(
  node: NodeProcess,
  sql: string,
  args: HranaValue[] = [],
): Promise<readonly (readonly HranaValue[])[]> {
  const reply: Reply = await query(node.url, sql, args);
  if (reply.type === "error") throw new Error(`${sql}: ${reply.message}`);
  return reply.results[0]!.rows;
}

/** The single number that a query gives at a node. */
export async function number(node: NodeProcess, sql: string): Promise<number> {
  const value = (await run(node, sql))[0]![0]!;
  if (value.type !== "integer") throw new Error(`${sql} gave no integer`);
  return Number(value.value);
}
