import { existsSync } from "node:fs";
import { waitUntil } from "../../../lib/demo/wait.ts";
import { type Child, freePorts, startProcess, temporaryFolder } from "../../../lib/io/process.ts";
import { SLOT, SLOT_MIN } from "../request_template.ts";
import {
  type ClusterSystem,
  PAYLOAD,
  READ_ROWS,
  type ServerNode,
  type Variant,
  type WorkloadKind,
} from "./system.ts";

const START_TIMEOUT_MS = 30_000;
const HOST = "127.0.0.1";
const SERVER = new URL("../../../build/peers/bin/etcd", import.meta.url).pathname;
/** Keys written at once while the rows to read are made. */
const FILL_KEYS = 100;

interface EtcdNode {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  child: Child | undefined;
}

/**
 * etcd, a store of keys and no SQL: a yardstick for consensus. It is spoken to through its JSON
 * gateway, which costs it more than its native protocol would.
 */
export class Etcd implements ClusterSystem {
  readonly type = "cluster";
  readonly name = "etcd";
  readonly durability = "a majority of the nodes has written and synced it (fdatasync of its log)";
  readonly #folder = temporaryFolder("dqlite-bench-etcd-");
  readonly #count: number;
  #nodes: EtcdNode[] = [];

  /** Whether `install_peers.sh` has put it here. */
  static isInstalled(): boolean {
    return existsSync(SERVER);
  }

  constructor(count: number) {
    this.#count = count;
  }

  async start(): Promise<void> {
    const ports = await freePorts(this.#count * 2);
    this.#nodes = Array.from({ length: this.#count }, (_, at) => ({
      name: `n${at + 1}`,
      clientPort: ports[2 * at]!,
      peerPort: ports[2 * at + 1]!,
      child: undefined,
    }));
    await this.restart();
  }

  async #launch(node: EtcdNode): Promise<void> {
    const client = `http://${HOST}:${node.clientPort}`;
    const peer = `http://${HOST}:${node.peerPort}`;
    const all = this.#nodes.map((one) => `${one.name}=http://${HOST}:${one.peerPort}`);
    node.child = await startProcess([
      ...[SERVER, "--name", node.name, "--data-dir", `${this.#folder.path}/${node.name}`],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", all.join(","), "--log-level", "error"],
    ]);
  }

  async #ask(node: EtcdNode, path: string, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(`http://${HOST}:${node.clientPort}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(START_TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd refused ${path}: ${text}`);
    return JSON.parse(text);
  }

  async version(): Promise<string> {
    const status = await this.#ask(this.#nodes[0]!, "/v3/maintenance/status", {});
    return `${status["version"]} (JSON gateway)`;
  }

  async nodes(): Promise<readonly ServerNode[]> {
    const up = this.#nodes.filter((node) => node.child?.running);
    const leader = await waitUntil("etcd has a leader", START_TIMEOUT_MS, async () => {
      for (const node of up) {
        const status = await this.#ask(node, "/v3/maintenance/status", {});
        const header = status["header"] as { member_id: string };
        if (status["leader"] === header.member_id) return node;
      }
      return undefined;
    });
    return [leader, ...up.filter((node) => node !== leader)]
      .map((node) => ({ pid: node.child!.pid, host: HOST, port: node.clientPort }));
  }

  variants(kind: WorkloadKind): readonly Variant[] {
    const base = { mustNot: '"error"', echo: false, bodyBytesMin: 0, must: '"revision"' };
    if (kind === "insert") {
      const body = `{"key":"${key(SLOT)}","value":"${btoa(PAYLOAD)}"}`;
      return [{ label: "put", plan: { ...base, path: "/v3/kv/put", body, slot: SEQUENCE } }];
    }
    if (kind !== "read") return [];
    const slot = { type: "random", first: SLOT_MIN, count: READ_ROWS } as const;
    const must = btoa(PAYLOAD);
    const body = `{"key":"${key(SLOT)}"}`;
    return [{
      label: "linearizable get",
      plan: { ...base, must, path: "/v3/kv/range", body, slot },
    }];
  }

  /** There is no SQL: makes the keys that reads ask for. */
  async execute(): Promise<void> {
    const value = btoa(PAYLOAD);
    for (let first = 0; first < READ_ROWS; first += FILL_KEYS) {
      const success = Array.from({ length: FILL_KEYS }, (_, at) => ({
        request_put: { key: key(String(SLOT_MIN + first + at)), value },
      }));
      await this.#ask(this.#nodes[0]!, "/v3/kv/txn", { success });
    }
  }

  number(): Promise<number> {
    return Promise.reject(new Error("etcd knows no SQL"));
  }

  async kill(pid: number): Promise<void> {
    const node = this.#nodes.find((node) => node.child?.pid === pid)!;
    node.child!.signal("SIGKILL");
    await node.child!.exited;
  }

  async restart(): Promise<void> {
    for (const node of this.#nodes) if (!node.child?.running) await this.#launch(node);
    await this.nodes();
  }

  async stop(): Promise<void> {
    for (const node of this.#nodes) node.child?.signal("SIGKILL");
    for (const node of this.#nodes) await node.child?.exited;
    this.#folder.remove();
  }
}

const SEQUENCE = { type: "sequence" } as const;

/** Ten digits and two letters are valid base64 of nine bytes, another for each number. */
function key(digits: string): string {
  return `${digits}AA`;
}
