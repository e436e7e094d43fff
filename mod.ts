/**
 * dqlite: SQLite, replicated over several machines.
 *
 * {@linkcode connect} gives a client of a cluster; {@linkcode Node} runs a node in this process.
 *
 * @module
 */
export { ERROR_CODES, type ErrorCode, type Outcome } from "./lib/base/errors.ts";
export { DatabaseError, type ErrorDetails } from "./lib/base/errors.ts";
export { ClusterClient, connect, type ConnectOptions } from "./lib/client/client.ts";
export { ClientError, type ClientErrorDetails } from "./lib/client/error.ts";
export { type Session } from "./lib/client/session.ts";
export type {
  Client,
  InArgs,
  InStatement,
  IntMode,
  InValue,
  ResultSet,
  Row,
  Transaction,
  TransactionMode,
  Value,
} from "./lib/client/types.ts";
export { Node } from "./lib/node.ts";
export type { NodeOptions } from "./lib/node_options.ts";
export { createLog, silentLog } from "./lib/observe/log.ts";
export type { Log, LogFields, LogFormat, LogLevel, LogOptions } from "./lib/observe/log.ts";
