/** The table of workloads. */
import type { Workload } from "./systems/system.ts";

/** Connections of an open loop: enough that a request seldom waits for one. */
const OPEN_CLIENTS = 128;

/** Every workload under load, by name; `-open` are open loops. */
export const WORKLOADS: readonly Workload[] = [
  { name: "insert-1", kind: "insert", clients: 1 },
  { name: "insert-8", kind: "insert", clients: 8 },
  { name: "insert-64", kind: "insert", clients: 64 },
  { name: "insert-open", kind: "insert", clients: OPEN_CLIENTS, openShare: 0.7 },
  { name: "transaction-1", kind: "transaction", clients: 1 },
  { name: "transaction-8", kind: "transaction", clients: 8 },
  { name: "read-1", kind: "read", clients: 1 },
  { name: "read-8", kind: "read", clients: 8 },
  { name: "read-64", kind: "read", clients: 64 },
  { name: "read-open", kind: "read", clients: OPEN_CLIENTS, openShare: 0.7 },
  { name: "scan-1", kind: "scan", clients: 1 },
  { name: "scan-8", kind: "scan", clients: 8 },
  // Only when they are named.
  { name: "insert-ws-1", kind: "insert", clients: 1, overSocket: true },
  { name: "read-ws-1", kind: "read", clients: 1, overSocket: true },
];

/** The leader is killed under writers. */
export const FAILOVER = "failover";
/** Nodes start again, and a new one joins, with a million rows. */
export const RECOVERY = "recovery";
