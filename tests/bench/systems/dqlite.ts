import { LocalCluster, NodeProcess } from "../../../lib/demo/nodes.ts";
import { freePorts, temporaryFolder } from "../../../lib/io/process.ts";
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
const PATH = "/v2/pipeline";
const CLOSE = `{"type":"close"}`;

/** Our own cluster, spoken to in the very words of @libsql/client 0.18. */
export class Dqlite implements ClusterSystem {
  readonly type = "cluster";
  readonly name = "dqlite";
  readonly durability = "a majority of the nodes has written and synced it (fdatasync of the log)";
  readonly #folder = temporaryFolder("dqlite-bench-dqlite-");
  readonly #command: readonly string[];
  readonly #count: number;
  #cluster: LocalCluster | undefined;
  /** Nodes beyond those that the cluster began with. */
  readonly #extra: NodeProcess[] = [];

  /** @param command The program, before its first argument. */
  constructor(count: number, command: readonly string[]) {
    this.#count = count;
    this.#command = command;
  }

  async start(): Promise<void> {
    this.#cluster = await LocalCluster.plan({
      command: this.#command,
      folder: this.#folder.path,
      count: this.#count,
    });
    await this.#cluster.start(START_TIMEOUT_MS);
  }

  async version(): Promise<string> {
    return (await this.#cluster!.nodes[0]!.cluster()).version;
  }

  async nodes(): Promise<readonly ServerNode[]> {
    const leader = await this.#cluster!.leader(START_TIMEOUT_MS);
    return [...this.#cluster!.nodes]
      .sort((a, b) => Number(b === leader) - Number(a === leader))
      .filter((node) => node.running)
      .map(serverOf);
  }

  variants(kind: WorkloadKind): readonly Variant[] {
    const base = { path: PATH, mustNot: '"message":' };
    switch (kind) {
      case "insert":
        return [{
          label: "",
          plan: {
            ...base,
            body: pipeline(execute(INSERT, insertArgs())),
            slot: { type: "sequence" },
            must: '"affected_row_count":1',
            echo: false,
            bodyBytesMin: 0,
          },
        }];
      case "transaction":
        return [{
          label: "",
          plan: {
            ...base,
            body: pipeline(...transaction()),
            slot: { type: "sequence" },
            must: '"affected_row_count":1',
            echo: false,
            bodyBytesMin: 0,
          },
        }];
      case "read":
      case "scan": {
        const rows = kind === "read" ? 1 : SCAN_ROWS;
        return [{
          label: "linearizable",
          plan: {
            ...base,
            body: pipeline(execute(kind === "read" ? READ : SCAN, [integer(SLOT)])),
            slot: { type: "random", first: SLOT_MIN, count: READ_ROWS - rows + 1 },
            must: PAYLOAD,
            echo: true,
            bodyBytesMin: rows * PAYLOAD.length,
          },
        }];
      }
    }
  }

  socketVariants(kind: WorkloadKind): readonly Variant[] {
    if (kind !== "insert" && kind !== "read") return [];
    const stmt = kind === "insert" ? execute(INSERT, insertArgs()) : execute(READ, [integer(SLOT)]);
    // What the client sends for a lone statement: a stream that is opened, used and closed.
    const messages = [`{"type":"open_stream"}`, stmt, `{"type":"close_stream"}`].map((json, at) => {
      const request = `{"stream_id":1,${json.slice(1)}`;
      return `{"type":"request","request_id":${at},"request":${request}}`;
    });
    return this.variants(kind).map(({ label, plan }) => {
      return { label: `${label} WebSocket`.trim(), plan: { ...plan, path: "/", messages } };
    });
  }

  async execute(statements: readonly string[]): Promise<void> {
    for (const statement of statements) await this.#send(statement);
  }

  async number(query: string): Promise<number> {
    return numberOf(await this.#send(query));
  }

  async numberAt(node: ServerNode, query: string): Promise<number> {
    return numberOf(await this.#sendTo(`http://${node.host}:${node.port}`, query));
  }

  async #send(sql: string): Promise<string> {
    return await this.#sendTo((await this.#cluster!.leader(START_TIMEOUT_MS)).url, sql);
  }

  async #sendTo(url: string, sql: string): Promise<string> {
    const response = await fetch(url + PATH, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: pipeline(execute(sql, [])),
    });
    const text = await response.text();
    if (!response.ok || text.includes('"message":')) {
      throw new Error(`dqlite refused ${sql}: ${text}`);
    }
    return text;
  }

  async kill(pid: number): Promise<void> {
    await this.#cluster!.nodes.find((node) => node.pid === pid)!.kill();
  }

  async launchKilled(): Promise<readonly ServerNode[]> {
    const killed = this.#cluster!.nodes.filter((node) => !node.running);
    await Promise.all(killed.map((node) => node.start()));
    return killed.map(serverOf);
  }

  async addNode(): Promise<ServerNode> {
    const [listenPort, httpPort] = await freePorts(2);
    const name = `x${this.#extra.length + 1}`;
    const node = new NodeProcess({
      name,
      command: this.#command,
      folder: `${this.#folder.path}/${name}`,
      listenPort: listenPort!,
      httpPort: httpPort!,
      join: this.#cluster!.nodes.map((member) => member.address),
    });
    this.#extra.push(node);
    await node.start();
    return serverOf(node);
  }

  async restart(): Promise<void> {
    for (const node of this.#extra.splice(0)) await this.#remove(node);
    for (const node of this.#cluster!.nodes) if (!node.running) await node.start();
    await this.#cluster!.waitReady(START_TIMEOUT_MS);
  }

  /** Takes a node out of the cluster that was added. */
  async #remove(node: NodeProcess): Promise<void> {
    const { nodeId } = await node.cluster();
    await waitUntil(`node ${nodeId} is removed`, START_TIMEOUT_MS, async () => {
      const leader = await this.#cluster!.leader(START_TIMEOUT_MS);
      const reply = await fetch(`${leader.url}/cluster/remove`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ id: nodeId }),
      });
      await reply.arrayBuffer();
      return reply.ok;
    });
    await node.kill();
  }

  async stop(): Promise<void> {
    for (const node of this.#extra) await node.kill();
    await this.#cluster?.close();
    this.#folder.remove();
  }
}

function serverOf(node: NodeProcess): ServerNode {
  const { hostname, port } = new URL(node.url);
  return { pid: node.pid, host: hostname, port: Number(port) };
}

function numberOf(text: string): number {
  const reply = JSON.parse(text) as {
    results: { response: { result: { rows: { value: string }[][] } } }[];
  };
  return Number(reply.results[0]!.response.result.rows[0]![0]!.value);
}

function pipeline(...requests: readonly string[]): string {
  return `{"requests":[${[...requests, CLOSE].join(",")}]}`;
}

function integer(digits: string): string {
  return `{"type":"integer","value":"${digits}"}`;
}

function insertArgs(): readonly string[] {
  return [integer(SLOT), `{"type":"text","value":"${PAYLOAD}"}`];
}

function statement(named: string, args: readonly string[], wantRows: boolean): string {
  return `{${named},"args":[${args.join(",")}],"named_args":[],"want_rows":${wantRows}}`;
}

function execute(sql: string, args: readonly string[]): string {
  return `{"type":"execute","stmt":${statement(`"sql":"${sql}"`, args, true)}}`;
}

/** BEGIN, the inserts, COMMIT, and ROLLBACK when that failed; the repeated text is sent once. */
function transaction(): readonly string[] {
  const steps = [`{"stmt":${statement('"sql":"BEGIN IMMEDIATE"', [], false)}}`];
  const after = (stmt: string) =>
    steps.push(`{"condition":{"type":"ok","step":${steps.length - 1}},"stmt":${stmt}}`);
  for (let row = 0; row < TRANSACTION_ROWS; row++) {
    after(statement('"sql_id":0', insertArgs(), true));
  }
  after(statement('"sql":"COMMIT"', [], false));
  const failed = `{"type":"not","cond":{"type":"ok","step":${steps.length - 1}}}`;
  steps.push(`{"condition":${failed},"stmt":${statement('"sql":"ROLLBACK"', [], false)}}`);
  return [
    `{"type":"store_sql","sql_id":0,"sql":"${INSERT}"}`,
    `{"type":"batch","batch":{"steps":[${steps.join(",")}]}}`,
  ];
}
