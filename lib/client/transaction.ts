import type { BatchStep, StreamRequest } from "../wire/hrana/types.ts";
import { batchOutcomes, beginSql, begun, chained, plain, statementResults } from "./batch.ts";
import { decodeResponse } from "./decode.ts";
import { type AnyStatement, encodeStatement } from "./encode.ts";
import { ClientError, type ClientErrorDetails } from "./error.ts";
import type { Router } from "./router.ts";
import { mayCommit } from "./sql_kind.ts";
import { Stream } from "./stream.ts";
import type { InStatement, IntMode, ResultSet, Transaction, TransactionMode } from "./types.ts";

/** What a transaction needs to know. */
export interface TransactionOptions {
  readonly mode: TransactionMode;
  readonly timeoutMs: number;
  readonly intMode: IntMode;
}

/**
 * A transaction across several calls. It begins with its first statement, on the leader of that
 * moment, and is rolled back when that node goes away: it never goes on elsewhere.
 */
export class ClientTransaction implements Transaction {
  readonly #stream: Stream;
  readonly #mode: TransactionMode;
  readonly #intMode: IntMode;
  #begun = false;
  /** Whether the transaction could not begin. */
  #failed = false;

  /** @throws {RangeError} when the mode is none that SQLite knows. */
  constructor(router: Router, options: TransactionOptions) {
    beginSql(options.mode);
    this.#stream = new Stream(router, options.timeoutMs);
    this.#mode = options.mode;
    this.#intMode = options.intMode;
  }

  get closed(): boolean {
    return this.#stream.closed;
  }

  async execute(statement: InStatement): Promise<ResultSet> {
    const [result] = await this.batch([statement]);
    return result!;
  }

  /** @throws {ClientError} the first failure; the statements before it stay in the transaction. */
  async batch(statements: AnyStatement[]): Promise<ResultSet[]> {
    this.#assertOpen();
    const encoded = statements.map(encodeStatement);
    const begins = !this.#begun;
    this.#begun = true;
    const steps = begins ? begun(this.#mode, encoded) : chained(encoded);
    const risky = encoded.some((statement) => mayCommit(String(statement.sql)));
    return await this.#guarded(begins, risky, () => this.#runBatch(steps, begins));
  }

  async executeMultiple(sql: string): Promise<void> {
    this.#assertOpen();
    const begins = !this.#begun;
    if (begins) await this.batch([]);
    await this.#guarded(
      false,
      mayCommit(sql),
      () =>
        this.#stream.send([{ type: "sequence", sql }], ([result]) => {
          decodeResponse(result, "sequence");
        }),
    );
  }

  async commit(): Promise<void> {
    this.#assertOpen();
    try {
      if (this.#begun) await this.#guarded(false, true, () => this.#end("COMMIT"));
    } finally {
      this.close();
    }
  }

  async rollback(): Promise<void> {
    if (this.closed) return;
    try {
      if (this.#begun) await this.#end("ROLLBACK");
    } catch (error) {
      // A stream that is gone took the transaction with it, which is what was asked for.
      if (this.#stream.open || !(error instanceof ClientError)) throw error;
    } finally {
      this.close();
    }
  }

  /** Rolls back what was not committed, without waiting for the node. */
  close(): void {
    this.#stream.close();
  }

  async #runBatch(steps: readonly BatchStep[], begins: boolean): Promise<ResultSet[]> {
    return await this.#stream.send([{ type: "batch", batch: { steps } }], ([result]) => {
      const outcomes = batchOutcomes(result, steps.length, this.#intMode);
      if (!begins) return statementResults(outcomes);
      const [begin, ...rest] = outcomes;
      this.#failed = begin instanceof ClientError;
      if (begin instanceof ClientError) throw begin;
      return statementResults(rest);
    });
  }

  async #end(sql: "COMMIT" | "ROLLBACK"): Promise<void> {
    const requests: StreamRequest[] = [{ type: "execute", stmt: plain(sql) }, { type: "close" }];
    await this.#stream.send(requests, ([result]) => {
      decodeResponse(result, "execute");
    });
  }

  /**
   * Runs a part of the transaction, and tells what became of all of it when its stream is gone.
   *
   * @param begins This part opens the stream, so that its own error tells all.
   * @param mayCommit Whether this part may have committed the transaction.
   */
  async #guarded<T>(begins: boolean, mayCommit: boolean, run: () => Promise<T>): Promise<T> {
    const opened = this.#stream.open;
    try {
      return await run();
    } catch (error) {
      // What did not begin cannot go on.
      if (this.#failed) this.close();
      if (this.#failed || this.#stream.open || !(error instanceof ClientError)) throw error;
      this.close();
      if (begins && !opened && !mayCommit) throw error;
      throw lostTransaction(error, mayCommit && error.outcome === "unknown");
    }
  }

  #assertOpen(): void {
    if (!this.closed) return;
    throw new ClientError("TRANSACTION_CLOSED", "The transaction is closed already");
  }
}

function lostTransaction(error: ClientError, unknown: boolean): ClientError {
  // SQLite's own refusal of a commit, such as a deferred constraint, is the answer to it.
  if (error.code.startsWith("SQLITE_") && !error.code.startsWith("SQLITE_IOERR")) return error;
  const details: ClientErrorDetails = unknown
    ? { outcome: "unknown", hint: "Look for its changes before running it again", cause: error }
    : { outcome: "rejected", hint: "Run the whole transaction again", cause: error };
  if (unknown) {
    return new ClientError(error.code, `Whether it was committed is not known: ${error.message}`, {
      ...details,
    });
  }
  return new ClientError(
    "TRANSACTION_LOST",
    `The transaction was rolled back: ${error.message}`,
    details,
  );
}
