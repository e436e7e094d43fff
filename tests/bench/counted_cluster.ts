/** Three real nodes in this process, and what a thousand operations cost them in counts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitUntil } from "../../lib/demo/wait.ts";
import { NodeStarter, type StartedNode } from "../../lib/node_starter.ts";
import { jsonText } from "../../lib/wire/hrana/encode.ts";
import type { StreamRequest, Value } from "../../lib/wire/hrana/types.ts";
import { countedEdges, type Counts, newCounts } from "./counted_edges.ts";
import { INSERT, PAYLOAD, READ, SCHEMA } from "./systems/system.ts";

const NODES = 3;
const TIMEOUT_MS = 20_000;
const FIRST_ROW = 1_000_000_000;

/** Operations whose cost is counted; the clients send together and wait for each other. */
export interface CountedWorkload {
  readonly name: string;
  readonly clients: number;
  readonly operations: number;
  readonly requests: (n: number) => readonly StreamRequest[];
}

/** The workloads, by name. */
export const COUNTED_WORKLOADS: readonly CountedWorkload[] = [
  { name: "insert-1", clients: 1, operations: 400, requests: insert },
  { name: "insert-64", clients: 64, operations: 1_600, requests: insert },
  { name: "transaction-1", clients: 1, operations: 40, requests: transaction },
  { name: "read-1", clients: 1, operations: 400, requests: read },
  { name: "read-64", clients: 64, operations: 1_600, requests: read },
];

/** A cluster whose edges count. */
export class CountedCluster implements AsyncDisposable {
  readonly #counts: Counts;
  readonly #stacks: AsyncDisposableStack[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "dqlite-counts-"));
  readonly #nodes: StartedNode[] = [];

  private constructor(counts: Counts) {
    this.#counts = counts;
  }

  /** Starts the nodes, with the tables of the bench; done when all of them vote. */
  static async start(): Promise<CountedCluster> {
    const cluster = new CountedCluster(newCounts());
    try {
      await cluster.#start();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  async #start(): Promise<void> {
    for (let at = 0; at < NODES; at++) {
      const stack = new AsyncDisposableStack();
      this.#stacks.push(stack);
      const options = {
        dir: join(this.#folder, String(at)),
        listen: "127.0.0.1:0",
        http: "127.0.0.1:0",
        join: this.#nodes.slice(0, 1).map((node) => node.member.address),
      };
      this.#nodes.push(
        await new NodeStarter(options, stack, await countedEdges(this.#counts)).start(),
      );
    }
    await waitUntil("three nodes vote", TIMEOUT_MS, () => {
      const { members, role } = this.#nodes[0]!.operations.clusterStatus();
      return role === "leader" && members.filter((one) => one.role === "voter").length === NODES;
    });
    for (const sql of SCHEMA) await this.#run([execute(sql, [])]);
  }

  /** What 1,000 operations cost all nodes together. */
  async count(workload: CountedWorkload): Promise<Counts> {
    const { clients, operations, requests } = workload;
    // Statements are prepared and connections opened by the first ones.
    await Promise.all(Array.from({ length: clients }, (_, n) => this.#run(requests(n))));
    await this.#settled();
    const before = { ...this.#counts };
    for (let done = 0; done < operations; done += clients) {
      const round = Array.from({ length: clients }, (_, at) => this.#run(requests(done + at)));
      await Promise.all(round);
    }
    await this.#settled();
    const entries = Object.entries(this.#counts).map(([name, count]) => {
      return [name, (count - before[name as keyof Counts]) * 1_000 / operations];
    });
    return Object.fromEntries(entries) as unknown as Counts;
  }

  async #run(requests: readonly StreamRequest[]): Promise<void> {
    const { sessions } = this.#nodes[0]!;
    const answer = await sessions.pipeline({ baton: undefined, requests: [...requests, CLOSE] });
    const failed = answer.results.map(jsonText).find((text) => text.startsWith('{"type":"error"'));
    if (failed !== undefined) throw new Error(failed);
  }

  /** Every node has applied all that is committed. */
  async #settled(): Promise<void> {
    await waitUntil("all nodes applied everything", TIMEOUT_MS, () => {
      const views = this.#nodes.map((node) => node.operations.clusterStatus());
      return views.every((view) => view.appliedIndex === views[0]!.lastIndex);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stack of this.#stacks.reverse()) await stack.disposeAsync();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const CLOSE: StreamRequest = { type: "close" };

function statement(sql: string, args: readonly Value[]) {
  return { sql, args, namedArgs: [], wantRows: true };
}

function execute(sql: string, args: readonly Value[]): StreamRequest {
  return { type: "execute", stmt: statement(sql, args) };
}

function insert(n: number): readonly StreamRequest[] {
  return [execute(INSERT, [n, PAYLOAD])];
}

function read(n: number): readonly StreamRequest[] {
  return [execute(READ, [FIRST_ROW + n])];
}

function transaction(n: number): readonly StreamRequest[] {
  const texts = ["BEGIN IMMEDIATE", ...Array<string>(100).fill(INSERT), "COMMIT"];
  const steps = texts.map((sql, at) => ({
    condition: at === 0 ? undefined : { type: "ok", step: at - 1 } as const,
    stmt: statement(sql, sql === INSERT ? [n, PAYLOAD] : []),
  }));
  return [{ type: "batch", batch: { steps } }];
}
