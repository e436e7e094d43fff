import type { StreamRequest } from "../wire/hrana/types.ts";
import { asObject, decodeResponse, decodeResult } from "./decode.ts";
import { type AnyStatement, encodeStatement } from "./encode.ts";
import { ClientError } from "./error.ts";
import { mayRetry } from "./retry.ts";
import type { Router } from "./router.ts";
import { isRead, mayCommit } from "./sql_kind.ts";
import { Stream } from "./stream.ts";
import type { IntMode, ResultSet } from "./types.ts";

/** Refusals that mean: the stream is gone, and nothing was done. */
const STREAM_GONE = new Set(["STREAM_EXPIRED", "BATON_INVALID", "TRANSACTION_LOST"]);

/**
 * A connection of its own to the database: `BEGIN` in one call, `COMMIT` in a later one, temporary
 * tables and settings in between. Without an open transaction it moves to another node by itself
 * when its own is gone; what it kept there is gone then.
 */
export class Session {
  readonly #stream: Stream;
  readonly #intMode: IntMode;
  #inTransaction = false;

  constructor(router: Router, options: { readonly timeoutMs: number; readonly intMode: IntMode }) {
    this.#stream = new Stream(router, options.timeoutMs);
    this.#intMode = options.intMode;
  }

  /** Whether a transaction was open after the last call. */
  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  /** Runs one statement. @throws {ClientError} `TRANSACTION_LOST` when the open one is no more. */
  async execute(statement: AnyStatement): Promise<ResultSet> {
    const stmt = encodeStatement(statement);
    const sql = String(stmt.sql);
    return await this.#run({ type: "execute", stmt }, sql, (result) => {
      const response = decodeResponse(result, "execute");
      return decodeResult(asObject(response["result"], "the result"), this.#intMode);
    });
  }

  /** Runs statements separated by semicolons, up to the first that fails. */
  async executeMultiple(sql: string): Promise<void> {
    await this.#run({ type: "sequence", sql }, sql, (result) => {
      decodeResponse(result, "sequence");
    });
  }

  /** Ends the session; an open transaction is rolled back. */
  close(): void {
    this.#inTransaction = false;
    this.#stream.close();
  }

  async #run<T>(request: StreamRequest, sql: string, decode: (result: unknown) => T): Promise<T> {
    if (this.#stream.closed) throw new ClientError("CLOSED", "The session is closed");
    const idempotent = request.type === "execute" && isRead(sql);
    const began = this.#inTransaction;
    const send = () =>
      this.#stream.send([request, { type: "get_autocommit" }], ([result, autocommit]) => {
        this.#inTransaction = isOpen(autocommit);
        return decode(result);
      }, idempotent && !began);
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (began && !this.#stream.open) throw this.#lost(error, sql);
      const gone = STREAM_GONE.has(error.code) || mayRetry(error, { idempotent });
      if (began || !gone || request.type === "sequence") throw error;
      this.#stream.abandon();
      return await send();
    }
  }

  /** The error of a call whose stream went away with an open transaction in it. */
  #lost(error: ClientError, sql: string): ClientError {
    this.#inTransaction = false;
    const unknown = error.outcome === "unknown" && mayCommit(sql);
    const fate = unknown
      ? "whether the open transaction was committed is not known"
      : "the open transaction was rolled back";
    return new ClientError("TRANSACTION_LOST", `The connection was lost, ${fate}`, {
      outcome: unknown ? "unknown" : "rejected",
      hint: unknown ? "Look for its changes before running it again" : "Run it again from BEGIN",
      cause: error,
    });
  }
}

/** A server that cannot tell is taken to have no transaction open. */
function isOpen(result: unknown): boolean {
  try {
    return decodeResponse(result, "get_autocommit")["is_autocommit"] === false;
  } catch {
    return false;
  }
}
