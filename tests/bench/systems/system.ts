import type { Measurement } from "../measurement.ts";
import type { RequestPlan } from "../request_template.ts";

/** What the clients of a workload do. */
export type WorkloadKind = "insert" | "transaction" | "read" | "scan";

/** One row of the table of workloads. */
export interface Workload {
  readonly name: string;
  readonly kind: WorkloadKind;
  readonly clients: number;
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
  /** Starts all nodes; done when all vote and a leader is known. */
  start(): Promise<void>;
  /** The version of the program that runs. */
  version(): Promise<string>;
  /** All nodes, the leader first. */
  nodes(): Promise<readonly ServerNode[]>;
  variants(kind: WorkloadKind): readonly Variant[];
  /** Runs statements in order, one request each, on the leader. */
  execute(statements: readonly string[]): Promise<void>;
  /** The number that a query gives. */
  number(query: string): Promise<number>;
  /** Ends a node with SIGKILL and waits until its process is gone. */
  kill(pid: number): Promise<void>;
  /** Starts the killed node again; done when all nodes are ready. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A database inside the measuring process. */
export interface EmbeddedSystem {
  readonly type: "embedded";
  readonly name: string;
  readonly labels: readonly string[];
  version(): Promise<string>;
  /** Runs a workload with one client. */
  measure(
    label: string,
    kind: WorkloadKind,
    times: { readonly warmupMs: number; readonly measureMs: number },
  ): Promise<Measurement>;
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
