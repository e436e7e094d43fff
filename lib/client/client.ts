import {
  CLIENT_QUEUE_MAX,
  CLIENT_REQUESTS_MAX,
  CLIENT_TIMEOUT_MS,
  CLIENT_TIMEOUT_MS_MAX,
} from "../base/limits.ts";
import { type Random, SeededRandom } from "../base/random.ts";
import { type Clock, systemClock } from "../io/clock.ts";
import { MAIN_DATABASE_NAME } from "../wire/command.ts";
import { isDatabaseName } from "../wire/database_name.ts";
import type { StreamRequest } from "../wire/hrana/types.ts";
import { batchOutcomes, batchRequests, transactionResults, transactionSteps } from "./batch.ts";
import { asObject, decodeResponse, decodeResult } from "./decode.ts";
import { type AnyStatement, encodeStatement } from "./encode.ts";
import { ClientError, withDetails } from "./error.ts";
import { Gate } from "./gate.ts";
import { type Fetch, httpTransport } from "./http_transport.ts";
import { mayRetry } from "./retry.ts";
import { type NodeStatus, Router } from "./router.ts";
import { Session } from "./session.ts";
import { isRead } from "./sql_kind.ts";
import { ClientTransaction } from "./transaction.ts";
import type { PipelineTransport } from "./transport.ts";
import type {
  Client,
  InArgs,
  InStatement,
  IntMode,
  Replicated,
  ResultSet,
  Transaction,
  TransactionMode,
} from "./types.ts";

/** Where a cluster is, and how to talk to it. */
export interface ConnectOptions {
  /** HTTP addresses of one node or several. One that runs is enough to find the others. */
  readonly urls: string | readonly string[];
  /** The name of a database, which is made when it is used first. @default {"main"} */
  readonly database?: string;
  /** The form of integers in results. @default {"number"} */
  readonly intMode?: IntMode;
  /** Milliseconds a call may take, failover included. @default {30000} */
  readonly timeoutMs?: number;
  /** Takes the place of the global `fetch`, for instance to add headers. */
  readonly fetch?: Fetch;
}

/** The options of a client whose transport is given. */
export type ClientOptions = Omit<ConnectOptions, "fetch">;

/** What else a client can be made of. */
export interface ClientParts {
  readonly transport: PipelineTransport;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Connects to a cluster. Nothing is sent before the first call.
 *
 * @throws {ClientError} `URL_INVALID` or `CONFIG` when an option is not valid.
 *
 * @example
 * ```ts
 * const client = connect({ urls: "http://127.0.0.1:8080" });
 * await client.execute("CREATE TABLE t (a)");
 * await client.execute("INSERT INTO t VALUES (?)", ["hello"]);
 * ```
 */
export function connect(options: ConnectOptions): ClusterClient {
  const fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  return new ClusterClient({ ...options, urls: checkedUrls(options.urls) }, {
    transport: httpTransport(fetch, checkedDatabase(options.database)),
    clock: systemClock,
    random: new SeededRandom(seed),
  });
}

/** A client of a cluster. It finds the leader, and follows it through a failover. */
export class ClusterClient implements Client {
  /** How it talks to nodes. */
  readonly protocol = "http";
  /** The name of the database. */
  readonly database: string;
  readonly #seeds: readonly string[];
  readonly #intMode: IntMode;
  readonly #timeoutMs: number;
  readonly #parts: ClientParts;
  readonly #gate = new Gate(CLIENT_REQUESTS_MAX, CLIENT_QUEUE_MAX);
  #router: Router;
  #closed = false;

  /**
   * @param options.urls Addresses that the transport understands.
   * @throws {ClientError} `CONFIG` when an option is not valid.
   */
  constructor(options: ClientOptions, parts: ClientParts) {
    this.#seeds = typeof options.urls === "string" ? [options.urls] : options.urls;
    this.database = options.database ?? MAIN_DATABASE_NAME;
    this.#intMode = checkedIntMode(options.intMode ?? "number");
    this.#timeoutMs = checkedTimeout(options.timeoutMs ?? CLIENT_TIMEOUT_MS);
    this.#parts = parts;
    this.#router = this.#newRouter();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The HTTP address of the leader, as last heard; undefined before the first call. */
  get leaderUrl(): string | undefined {
    return this.#router.leaderUrl;
  }

  /** The HTTP addresses of all nodes heard of, the leader first. */
  get urls(): string[] {
    return this.#router.urls;
  }

  /** What the leader, or else another node, tells of the cluster. */
  clusterStatus(): Promise<NodeStatus> {
    return this.#promised(() => this.#open().status());
  }

  execute(statement: InStatement): Promise<ResultSet>;
  execute(sql: string, args?: InArgs): Promise<ResultSet>;
  /** Runs one statement. @throws {ClientError} whose `outcome` tells whether it may have run. */
  async execute(statement: InStatement, args?: InArgs): Promise<ResultSet> {
    const given: AnyStatement = typeof statement === "string" && args !== undefined
      ? { sql: statement, args }
      : statement;
    const stmt = encodeStatement(given);
    const request: StreamRequest = { type: "execute", stmt };
    return await this.#once([request], isRead(String(stmt.sql)), ([result]) => {
      const response = decodeResponse(result, "execute");
      return decodeResult(asObject(response["result"], "the result"), this.#intMode);
    });
  }

  /** Runs statements as one transaction. @throws {ClientError} with `statementIndex`. */
  async batch(
    statements: AnyStatement[],
    mode: TransactionMode = "deferred",
  ): Promise<ResultSet[]> {
    return await this.#transact(statements, mode, true);
  }

  /** Runs statements as one transaction, without checks of foreign keys between them. */
  async migrate(statements: InStatement[]): Promise<ResultSet[]> {
    return await this.#transact(statements, "deferred", false);
  }

  /** Prepares a transaction across several calls; it begins with its first statement. */
  transaction(mode: TransactionMode = "write"): Promise<Transaction> {
    return this.#promised(() =>
      new ClientTransaction(this.#open(), {
        mode,
        timeoutMs: this.#timeoutMs,
        intMode: this.#intMode,
      })
    );
  }

  /** Runs statements separated by semicolons, up to the first that fails; each by itself. */
  async executeMultiple(sql: string): Promise<void> {
    await this.#once([{ type: "sequence", sql }], false, ([result]) => {
      try {
        decodeResponse(result, "sequence");
      } catch (error) {
        // A refusal in the middle leaves what came before it, so the whole is not to be repeated.
        if (error instanceof ClientError && mayRetry(error, { idempotent: false })) {
          throw withDetails(error, { outcome: "unknown" });
        }
        throw error;
      }
    });
  }

  /** Opens a connection of its own, for state that lasts across calls. */
  session(options: { readonly intMode?: IntMode } = {}): Session {
    return new Session(this.#open(), {
      timeoutMs: this.#timeoutMs,
      intMode: options.intMode ?? this.#intMode,
    });
  }

  /** @throws {ClientError} `SYNC_NOT_SUPPORTED` always: this client keeps no copy. */
  sync(): Promise<Replicated> {
    return Promise.reject(
      new ClientError("SYNC_NOT_SUPPORTED", "This client keeps no local copy of the database"),
    );
  }

  /** Ends calls under way and open transactions by an error. */
  close(): void {
    this.#closed = true;
    this.#router.close();
  }

  /** Makes a closed client usable again; one that is open starts anew. */
  reconnect(): void {
    this.#router.close();
    this.#router = this.#newRouter();
    this.#closed = false;
  }

  async #transact(
    statements: readonly AnyStatement[],
    mode: TransactionMode,
    foreignKeys: boolean,
  ): Promise<ResultSet[]> {
    const steps = transactionSteps(statements.map(encodeStatement), mode, foreignKeys);
    const requests = batchRequests(steps);
    return await this.#once(requests, mode === "read", (results) => {
      for (const [i, request] of requests.entries()) {
        if (request.type === "store_sql") decodeResponse(results[i], "store_sql");
      }
      const outcomes = batchOutcomes(results[requests.length - 1], steps.length, this.#intMode);
      return transactionResults(outcomes, statements.length, foreignKeys ? 0 : 1);
    });
  }

  /** Runs requests in a stream that ends with them. */
  async #once<T>(
    requests: readonly StreamRequest[],
    idempotent: boolean,
    decode: (results: readonly unknown[]) => T,
  ): Promise<T> {
    const router = this.#open();
    const body = { baton: undefined, requests: [...requests, { type: "close" } as const] };
    const options = { timeoutMs: this.#timeoutMs, idempotent };
    await this.#gate.enter();
    try {
      return await router.call(body, options, (reply) => decode(reply.results));
    } finally {
      this.#gate.leave();
    }
  }

  #open(): Router {
    if (!this.#closed) return this.#router;
    throw new ClientError("CLIENT_CLOSED", "The client is closed");
  }

  #newRouter(): Router {
    return new Router({ seeds: this.#seeds, ...this.#parts });
  }

  /** Turns what `make` throws into a rejection. */
  #promised<T>(make: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve) => resolve(make()));
  }
}

function checkedUrls(urls: string | readonly string[]): readonly string[] {
  const given = typeof urls === "string" ? [urls] : [...urls];
  if (given.length === 0) throw new ClientError("URL_INVALID", "Cannot connect to no URL at all");
  for (const url of given) {
    const parsed = URL.parse(url);
    if (parsed !== null && ["http:", "https:"].includes(parsed.protocol)) continue;
    throw new ClientError(
      "URL_INVALID",
      `Cannot connect to ${JSON.stringify(url)}: must be an http:// or https:// URL`,
    );
  }
  return given;
}

function checkedDatabase(name: string | undefined): string | undefined {
  if (name === undefined || isDatabaseName(name)) return name;
  throw new ClientError(
    "CONFIG",
    `Cannot use a database ${JSON.stringify(name)}: must be 1 to 64 letters, digits, _ and -`,
  );
}

function checkedIntMode(mode: IntMode): IntMode {
  if (["number", "bigint", "string"].includes(mode)) return mode;
  throw new ClientError(
    "CONFIG",
    `Cannot use intMode ${JSON.stringify(mode)}: must be "number", "bigint" or "string"`,
  );
}

function checkedTimeout(timeoutMs: number): number {
  if (timeoutMs > 0 && timeoutMs <= CLIENT_TIMEOUT_MS_MAX) return timeoutMs;
  throw new ClientError(
    "CONFIG",
    `Cannot use timeoutMs ${timeoutMs}: must be above 0 and at most ${CLIENT_TIMEOUT_MS_MAX}`,
  );
}
