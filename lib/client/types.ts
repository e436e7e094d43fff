/** The shape of the client: that of `@libsql/client`, by its own types, and what we add. */
export type {
  Client,
  InArgs,
  InStatement,
  IntMode,
  InValue,
  Replicated,
  ResultSet,
  Row,
  Transaction,
  TransactionMode,
  Value,
} from "@libsql/core/api";
