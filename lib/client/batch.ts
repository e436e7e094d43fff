/** Statements that succeed or fail together, as one Hrana batch; pure. */
import type { BatchCondition, BatchStep, Statement, StreamRequest } from "../wire/hrana/types.ts";
import { asObject, decodeBatch, decodeResponse, type StepOutcome } from "./decode.ts";
import { ClientError, withDetails } from "./error.ts";
import type { IntMode, ResultSet, TransactionMode } from "./types.ts";

/** Texts that one batch stores at most. */
const STORED_TEXTS_MAX = 64;

const IN_TRANSACTION: BatchCondition = { type: "not", cond: { type: "is_autocommit" } };

/** When an earlier step succeeded and a transaction is open. */
function after(step: number): BatchCondition {
  return { type: "and", conds: [{ type: "ok", step }, IN_TRANSACTION] };
}

/** The statement that begins a transaction. */
export function beginSql(mode: TransactionMode): string {
  switch (mode) {
    case "write":
      return "BEGIN IMMEDIATE";
    case "read":
      return "BEGIN TRANSACTION READONLY";
    case "deferred":
      return "BEGIN DEFERRED";
    default:
      throw new RangeError(
        `Cannot begin a transaction in mode ${JSON.stringify(mode)}: ` +
          'must be "write", "read" or "deferred"',
      );
  }
}

/** A statement without arguments whose rows nobody reads. */
export function plain(sql: string): Statement {
  return { sql, args: [], namedArgs: [], wantRows: false };
}

/**
 * Steps inside of a transaction that began before: each runs only when the one before it
 * succeeded, and as long as the transaction is open. SQLite ends one by itself after some errors,
 * and what follows must not run outside of it.
 */
export function chained(statements: readonly Statement[]): BatchStep[] {
  return statements.map((stmt, i) => ({
    stmt,
    condition: i === 0 ? IN_TRANSACTION : after(i - 1),
  }));
}

/** Steps that begin a transaction and go on inside of it. */
export function begun(mode: TransactionMode, statements: readonly Statement[]): BatchStep[] {
  const begin = { stmt: plain(beginSql(mode)), condition: undefined };
  return [begin, ...statements.map((stmt, i) => ({ stmt, condition: after(i) }))];
}

/**
 * A whole transaction: it commits when every statement succeeded, else it is rolled back.
 *
 * @param foreignKeys False to switch them off around it, as changes of the schema need.
 */
export function transactionSteps(
  statements: readonly Statement[],
  mode: TransactionMode,
  foreignKeys: boolean,
): BatchStep[] {
  const steps: BatchStep[] = [];
  if (!foreignKeys) steps.push({ stmt: plain("PRAGMA foreign_keys=off"), condition: undefined });
  const begin = steps.length;
  steps.push({ stmt: plain(beginSql(mode)), condition: undefined });
  for (const stmt of statements) steps.push({ stmt, condition: after(steps.length - 1) });
  const commit = begin + 1 + statements.length;
  steps.push({ stmt: plain("COMMIT"), condition: after(commit - 1) });
  steps.push({ stmt: plain("ROLLBACK"), condition: IN_TRANSACTION });
  if (!foreignKeys) steps.push({ stmt: plain("PRAGMA foreign_keys=on"), condition: undefined });
  return steps;
}

/**
 * The results of a transaction made by {@linkcode transactionSteps}.
 *
 * @param count How many statements were asked for.
 * @param begin The step that begins the transaction.
 * @throws {ClientError} the first failure, with the index of its statement.
 */
export function transactionResults(
  outcomes: readonly StepOutcome[],
  count: number,
  begin: number,
): ResultSet[] {
  const begun = outcomes[begin];
  if (begun instanceof ClientError) throw begun;
  const results = statementResults(outcomes.slice(begin + 1, begin + 1 + count));
  const committed = outcomes[begin + 1 + count];
  if (committed instanceof ClientError) throw committed;
  return results;
}

/** The results of statements. @throws {ClientError} the first failure, with its index. */
export function statementResults(outcomes: readonly StepOutcome[]): ResultSet[] {
  return outcomes.map((outcome, statementIndex) => {
    if (outcome instanceof ClientError) throw withDetails(outcome, { statementIndex });
    if (outcome !== undefined) return outcome;
    throw new ClientError("TRANSACTION_CLOSED", "The transaction was rolled back before it", {
      statementIndex,
    });
  });
}

/** Reads the response to a batch. */
export function batchOutcomes(result: unknown, steps: number, intMode: IntMode): StepOutcome[] {
  const response = decodeResponse(result, "batch");
  return decodeBatch(asObject(response["result"], "the result of a batch"), steps, intMode);
}

/**
 * The requests that run a batch in a stream of its own. A text that is used again and again is
 * sent once.
 */
export function batchRequests(steps: readonly BatchStep[]): StreamRequest[] {
  const uses = new Map<string, number>();
  for (const { stmt } of steps) {
    if (typeof stmt.sql === "string") uses.set(stmt.sql, (uses.get(stmt.sql) ?? 0) + 1);
  }
  const ids = new Map<string, number>();
  for (const [sql, count] of uses) {
    if (count > 1 && ids.size < STORED_TEXTS_MAX) ids.set(sql, ids.size + 1);
  }
  const stored = [...ids].map(([sql, sqlId]): StreamRequest => ({ type: "store_sql", sqlId, sql }));
  const named = steps.map(({ stmt, condition }) => ({
    condition,
    stmt: {
      ...stmt,
      sql: typeof stmt.sql === "string" ? (ids.get(stmt.sql) ?? stmt.sql) : stmt.sql,
    },
  }));
  return [...stored, { type: "batch", batch: { steps: named } }];
}
