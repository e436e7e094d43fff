import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type ClusterClient, connect, type ConnectOptions } from "../../lib/client/client.ts";
import { ClientError } from "../../lib/client/error.ts";
import { TestNode } from "./test_node.ts";

/** Nodes over one database, and clients of them; all gone at the end of a test. */
export class Nodes implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "dqlite-client-"));
  readonly #nodes: TestNode[] = [];
  readonly #clients: ClusterClient[] = [];

  async start(port = 0): Promise<TestNode> {
    const node = await TestNode.start(join(this.folder, "data.db"), port);
    this.#nodes.push(node);
    return node;
  }

  /** Starts `count` nodes that agree on the first one as leader. */
  async cluster(count: number): Promise<TestNode[]> {
    const nodes = [];
    for (let i = 0; i < count; i++) nodes.push(await this.start());
    this.elect(nodes, nodes[0]!, 1);
    return nodes;
  }

  /** Makes `nodes` agree on a leader; the others refuse to run anything. */
  elect(nodes: readonly TestNode[], leader: TestNode, term: number): void {
    const members = nodes.map((node) => node.url);
    for (const node of nodes) {
      node.view = { term, leader: leader.url, members };
      node.refuse = node === leader ? undefined : () => notLeader();
    }
  }

  connect(urls: string | string[], options: Omit<ConnectOptions, "urls"> = {}): ClusterClient {
    const client = connect({ urls, timeoutMs: 5_000, ...options });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const node of this.#nodes) await node.stop();
    rmSync(this.folder, { recursive: true });
  }
}

/** How a node refuses that does not lead and does not know who does. */
export function notLeader(): { status: number; body: unknown } {
  return { status: 503, body: { message: "This node does not lead", code: "NOT_LEADER" } };
}

/** The error that `run` must end with. */
export async function failureOf(run: () => Promise<unknown>): Promise<ClientError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof ClientError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}
