/**
 * A node as a client sees one: Hrana over HTTP in front of SQLite, and a view of a cluster that a
 * test can set. Nodes that share a file stand for the replicas of one database.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

type Json = Record<string, unknown>;
type WireValue = { type: string; value?: unknown; base64?: string };

/** What happens to the next pipelines instead of their execution. */
export type Fault =
  /** Answers with this status and body, and does nothing. */
  | { type: "reply"; status: number; body: unknown }
  /** Breaks the connection, before or after the pipeline took effect. */
  | { type: "drop"; executed: boolean }
  /** Answers, but only the first half of the body arrives. */
  | { type: "cut" }
  /** Never answers. */
  | { type: "hang" };

/** What `GET /cluster` says; addresses are those of other test nodes. */
export interface View {
  term: number;
  leader: string | undefined;
  members: string[];
}

/** One node. */
export class TestNode {
  readonly url: string;
  /** Undefined for a server that has no `/cluster`. */
  view: View | undefined;
  /** Faults of the next pipelines, in order. */
  readonly faults: Fault[] = [];
  /** The paths of all requests that arrived. */
  readonly requests: string[] = [];
  /** The bodies of all pipelines that arrived. */
  readonly pipelines: Json[] = [];
  /** What a pipeline is answered with when this node does not lead; undefined to run it anyway. */
  refuse: (() => { status: number; body: unknown } | undefined) | undefined;
  readonly #file: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #streams = new Map<string, DatabaseSync>();
  readonly #texts = new Map<DatabaseSync, Map<number, string>>();
  #batons = 0;

  private constructor(file: string, server: ReturnType<typeof createServer>) {
    this.#file = file;
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.view = { term: 1, leader: this.url, members: [this.url] };
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(file: string, port = 0): Promise<TestNode> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return new TestNode(file, server);
  }

  /** As `kill -9` would: connections break, streams are gone. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    this.expireStreams();
    await closed;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** Forgets all streams; their transactions are rolled back. */
  expireStreams(): void {
    for (const db of this.#streams.values()) db.close();
    this.#streams.clear();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    let text = "";
    for await (const part of request) text += part;
    if (request.url === "/cluster") {
      if (this.view === undefined) return reply(response, 404, { message: "No such path" });
      return reply(response, 200, clusterJson(this.view));
    }
    const body = JSON.parse(text) as Json;
    this.pipelines.push(body);
    const fault = this.faults.shift();
    if (fault?.type === "hang") return;
    if (fault?.type === "reply") return reply(response, fault.status, fault.body);
    if (fault?.type === "drop" && !fault.executed) return void request.socket.destroy();
    const refusal = this.refuse?.();
    if (refusal !== undefined) return reply(response, refusal.status, refusal.body);
    const answer = this.#pipeline(body);
    if (fault?.type === "drop") return void request.socket.destroy();
    if (fault?.type === "cut") {
      const json = JSON.stringify(answer);
      response.writeHead(200, { "content-length": json.length });
      response.write(json.slice(0, json.length / 2), () => request.socket.destroy());
      return;
    }
    reply(response, answer.status, answer.body);
  }

  #pipeline(body: Json): { status: number; body: unknown } {
    let db: DatabaseSync | undefined;
    if (typeof body["baton"] === "string") {
      db = this.#streams.get(body["baton"]);
      this.#streams.delete(body["baton"]);
      if (db === undefined) {
        const message = "The stream has expired";
        return { status: 404, body: { message, code: "STREAM_EXPIRED" } };
      }
    }
    db ??= this.#open();
    let open = true;
    const results = (body["requests"] as Json[]).map((request) => {
      if (request["type"] === "close") {
        if (open) db.close();
        open = false;
        return { type: "ok", response: { type: "close" } };
      }
      try {
        return { type: "ok", response: { type: request["type"], ...this.#run(db, request) } };
      } catch (error) {
        return { type: "error", error: errorJson(error) };
      }
    });
    const baton = open ? `${this.url}#${++this.#batons}` : null;
    if (baton !== null) this.#streams.set(baton, db);
    return { status: 200, body: { baton, base_url: null, results } };
  }

  #open(): DatabaseSync {
    const db = new DatabaseSync(this.#file);
    db.exec("PRAGMA busy_timeout = 100");
    return db;
  }

  #run(db: DatabaseSync, request: Json): Json {
    switch (request["type"]) {
      case "execute":
        return { result: this.#execute(db, request["stmt"] as Json) };
      case "batch":
        return { result: this.#batch(db, (request["batch"] as Json)["steps"] as Json[]) };
      case "sequence":
        db.exec(String(request["sql"]));
        return {};
      case "get_autocommit":
        return { is_autocommit: !db.isTransaction };
      case "store_sql": {
        const texts = this.#texts.get(db) ?? new Map<number, string>();
        this.#texts.set(db, texts.set(Number(request["sql_id"]), String(request["sql"])));
        return {};
      }
      default:
        throw new Error(`Unknown request ${request["type"]}`);
    }
  }

  #execute(db: DatabaseSync, stmt: Json): Json {
    const sql = stmt["sql"] ?? this.#texts.get(db)?.get(Number(stmt["sql_id"]));
    const prepared = db.prepare(String(sql).replace("TRANSACTION READONLY", "DEFERRED"));
    prepared.setReadBigInts(true);
    prepared.setReturnArrays(true);
    const args = (stmt["args"] as WireValue[]).map(fromWire);
    const named = Object.fromEntries(
      (stmt["named_args"] as { name: string; value: WireValue }[])
        .map(({ name, value }) => [name, fromWire(value)]),
    );
    const cols = prepared.columns().map(({ name, type }) => ({ name, decltype: type }));
    const bound = Object.keys(named).length > 0 ? [named, ...args] : args;
    const before = changes(db);
    const rows = prepared.all(...bound as SQLInputValue[]) as unknown as unknown[][];
    const rowid = db.prepare("SELECT last_insert_rowid() AS id").get()!["id"];
    return {
      cols,
      rows: rows.map((row) => row.map(toWire)),
      affected_row_count: changes(db) - before,
      last_insert_rowid: String(rowid),
    };
  }

  #batch(db: DatabaseSync, steps: Json[]): Json {
    const results: (Json | null)[] = [];
    const errors: (Json | null)[] = [];
    for (const step of steps) {
      const condition = step["condition"] as Json | null;
      let result: Json | null = null;
      let error: Json | null = null;
      if (condition === null || holds(condition, db, results, errors)) {
        try {
          result = this.#execute(db, step["stmt"] as Json);
        } catch (thrown) {
          error = errorJson(thrown);
        }
      }
      results.push(result);
      errors.push(error);
    }
    return { step_results: results, step_errors: errors };
  }
}

function holds(
  condition: Json,
  db: DatabaseSync,
  results: (Json | null)[],
  errors: (Json | null)[],
): boolean {
  const inner = (cond: Json) => holds(cond, db, results, errors);
  switch (condition["type"]) {
    case "ok":
      return results[Number(condition["step"])] !== null;
    case "error":
      return errors[Number(condition["step"])] !== null;
    case "not":
      return !inner(condition["cond"] as Json);
    case "and":
      return (condition["conds"] as Json[]).every(inner);
    case "or":
      return (condition["conds"] as Json[]).some(inner);
    default:
      return !db.isTransaction;
  }
}

function changes(db: DatabaseSync): number {
  return Number(db.prepare("SELECT total_changes() AS n").get()!["n"]);
}

function fromWire({ type, value, base64 }: WireValue): SQLInputValue {
  if (type === "null") return null;
  if (type === "integer") return BigInt(String(value));
  if (type === "blob") return Uint8Array.fromBase64(base64!);
  return value as SQLInputValue;
}

function toWire(value: unknown): WireValue {
  if (value === null) return { type: "null" };
  if (typeof value === "bigint") return { type: "integer", value: value.toString() };
  // JSON has no infinities.
  if (typeof value === "number") return { type: Number.isFinite(value) ? "float" : "null", value };
  if (typeof value === "string") return { type: "text", value };
  return { type: "blob", base64: (value as Uint8Array).toBase64({ omitPadding: true }) };
}

function errorJson(error: unknown): Json {
  const { message, errcode } = error as { message: string; errcode?: number };
  const base = (errcode ?? 1) & 0xff;
  const code = { 5: "SQLITE_BUSY", 19: "SQLITE_CONSTRAINT" }[base] ?? "SQLITE_ERROR";
  return { message: `SQLite error: ${message}`, code };
}

function clusterJson({ term, leader, members }: View): Json {
  const id = (url: string) => members.indexOf(url) + 1;
  return {
    term,
    role: "follower",
    leader: leader === undefined ? null : { id: id(leader), address: "", httpUrl: leader },
    members: members.map((url) => ({ id: id(url), httpUrl: url, leader: url === leader })),
  };
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}
