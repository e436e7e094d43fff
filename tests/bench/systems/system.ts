import type { Measurement } from "../measurement.ts";
import type { RequestPlan } from "../request_template.ts";

/** What the clients of a workload do. */
export type WorkloadKind = "insert" | "transaction" | "read" | "scan";

/** One row of the table of workloads. */
export interface Workload {
  readonly name: string;
  readonly kind: WorkloadKind;
  /** Whether its clients speak over a WebSocket; only systems that do take part. */
  readonly overSocket?: true;
  /** Connections. A client of a closed loop sends when it has its answer. */
  readonly clients: number;
  /**
   * For an open loop: requests come at a rate of their own, answered or not. The rate is this share
   * of what the slowest cluster does in a closed loop, so that it is the same for all.
   */
  readonly openShare?: number;
}

/** One way in which a system can do a workload. */
export interface Variant {
  /** Empty when there is only one way. */
  readonly label: string;
  readonly plan: RequestPlan;
}

/** A server process of a system. */
export interface ServerNode {
  readonly pid: number;
  readonly host: string;
  /** Port for clients. */
  readonly port: number;
}

/** A cluster of server processes on this machine. */
export interface ClusterSystem {
  readonly type: "cluster";
  readonly name: string;
  /** What has happened to a write when its answer comes, in words. */
  readonly durability: string;
  /** Starts all nodes; done when all vote and a leader is known. */
  start(): Promise<void>;
  /** The version of the program that runs. */
  version(): Promise<string>;
  /** All nodes that run, the leader first. */
  nodes(): Promise<readonly ServerNode[]>;
  /** The ways to do a workload; none where the system cannot do it. */
  variants(kind: WorkloadKind): readonly Variant[];
  /** The same over a WebSocket. */
  socketVariants?(kind: WorkloadKind): readonly Variant[];
  /** Runs statements in order, one request each, on the leader. */
  execute(statements: readonly string[]): Promise<void>;
  /** The number that a query gives. */
  number(query: string): Promise<number>;
  /** Ends a node with SIGKILL and waits until its process is gone. */
  kill(pid: number): Promise<void>;
  /** Starts the killed nodes again; done when all nodes are ready. */
  restart(): Promise<void>;
  /**
   * The number that a query gives at one node, from what that node holds itself.
   *
   * @throws {Error} while the node cannot answer.
   */
  numberAt?(node: ServerNode, query: string): Promise<number>;
  /** Starts the killed nodes again, and returns at once. */
  launchKilled?(): Promise<readonly ServerNode[]>;
  /** Adds an empty node, and returns once its process runs. */
  addNode?(): Promise<ServerNode>;
  /** Bytes that the leader's runtime has allocated since its start, where it tells. */
  allocatedBytes?(): Promise<number>;
  stop(): Promise<void>;
}

/** How long an embedded system runs. */
export interface Times {
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** A database inside the measuring process. */
export interface EmbeddedSystem {
  readonly type: "embedded";
  readonly name: string;
  readonly durability: string;
  readonly labels: readonly string[];
  version(): Promise<string>;
  /** Runs a workload with one client. */
  measure(label: string, kind: WorkloadKind, times: Times): Promise<Measurement>;
}

/** A system that can be measured. */
export type System = ClusterSystem | EmbeddedSystem;

/** Rows that reads choose from. */
export const READ_ROWS = 10_000;
/** Rows that one scan returns. */
export const SCAN_ROWS = 1_000;
/** Inserts in one transaction of the workload of that name. */
export const TRANSACTION_ROWS = 100;
/** What a row holds beside its number; about 100 bytes with it. */
export const PAYLOAD = "payload-".padEnd(90, "abcdefghijklmnopqrstuvwxyz");
/** The tables of all workloads. */
export const SCHEMA: readonly string[] = [
  "CREATE TABLE bench(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, payload TEXT NOT NULL)",
  "CREATE TABLE kv(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, payload TEXT NOT NULL)",
  "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i + 1 < " +
  `${READ_ROWS}) INSERT INTO kv SELECT 1000000000 + i, i, '${PAYLOAD}' FROM r`,
];
/** One row for each transaction. */
export const INSERT = "INSERT INTO bench(n, payload) VALUES(?, ?)";
/** One row by its key. */
export const READ = "SELECT id, n, payload FROM kv WHERE id = ?";
/** A thousand rows in the order of the key. */
export const SCAN = `SELECT id, n, payload FROM kv WHERE id >= ? ORDER BY id LIMIT ${SCAN_ROWS}`;
