/** The HTTP port of a node: its routes, its errors, and its way of stopping. */
import { DatabaseError } from "../base/errors.ts";
import { HTTP_REQUESTS_MAX } from "../base/limits.ts";
import type { HttpReply, HttpRequest, HttpServer } from "../io/http.ts";
import { httpUrl, listenHttp } from "../io/http_server.ts";
import { handleBackup } from "./backup.ts";
import { isSocketPath, socketDatabaseOf, splitDatabasePath } from "./database_path.ts";
import { databasesReply, handleCreate, handleDrop } from "./databases.ts";
import { handlePipeline } from "./hrana_http.ts";
import { HranaSocket } from "./hrana_socket.ts";
import { handleUpgrade } from "./hrana_upgrade.ts";
import { preflightReply, refuseOrigin, withOrigin } from "./origin.ts";
import { Proxy } from "./proxy.ts";
import { errorReply, jsonReply, textReply } from "./replies.ts";
import { handleRestore, RESTORE_STEPS } from "./restore.ts";
import {
  clusterReply,
  handleCheckpoint,
  handleDigest,
  handleRemove,
  handleRole,
  handleScrub,
  handleTransfer,
  readyReply,
} from "./status.ts";
import type { Operations, ServerOptions } from "./types.ts";

type Handler = (request: HttpRequest) => Promise<HttpReply> | HttpReply;

/** What a path answers, by method; HEAD is answered as GET. */
interface Route {
  readonly GET?: Handler;
  readonly POST?: Handler;
  readonly DELETE?: Handler;
}

const PATH_LENGTH_SHOWN = 100;
const SOCKET_ROUTE = "/";
const NO_ORIGINS: readonly string[] = [];

/** A server that listens. */
export class Server {
  readonly #options: ServerOptions;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #allowedOrigins: readonly string[];
  readonly #requestsMax: number;
  #server: HttpServer | undefined;
  /** Requests with a body that are under way, and pipelines of WebSockets. */
  #requests = 0;
  readonly #sockets = new Set<HranaSocket>();
  #closing: Promise<void> | undefined;

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.#allowedOrigins = options.allowedOrigins ?? NO_ORIGINS;
    this.#requestsMax = options.requestsMax ?? HTTP_REQUESTS_MAX;
    const proxy = new Proxy(options.nodeId, options.client, options.leadership, options.clock);
    this.#routes = buildRoutes(options, proxy, this.#socketRoute(proxy));
  }

  /**
   * Listens on the address.
   *
   * @throws {DatabaseError} ADDRESS when it is taken or not of this machine.
   */
  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options);
    server.#server = await listenHttp({
      hostname: options.hostname,
      port: options.port,
      handler: (request) => server.#answer(request),
      onFailure: options.onFailure,
    });
    return server;
  }

  /** The port it listens on, also where any was asked for. */
  get port(): number {
    return this.#server!.port;
  }

  /** Where this machine reaches it, such as `http://127.0.0.1:8080`. */
  get url(): string {
    return httpUrl(this.#server!.hostname, this.port);
  }

  /**
   * Takes no more requests, and waits for those under way; whatever still runs after `graceMs`
   * loses its connection.
   */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  #close(graceMs: number): Promise<void> {
    const server = this.#server!;
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(graceMs, () => {
        server.abort();
        resolve();
      });
      void this.#stopSockets().then(() => server.stop()).then(() => {
        cancel();
        resolve();
      });
    });
  }

  async #stopSockets(): Promise<void> {
    await Promise.all([...this.#sockets].map((socket) => socket.stop()));
  }

  #socketRoute(proxy: Proxy): Route {
    const { sessions, clock, onFailure } = this.#options;
    const options = {
      sessions,
      proxy,
      clock,
      admit: () => {
        const admitted = this.#requests < this.#requestsMax;
        if (admitted) this.#requests += 1;
        return admitted;
      },
      release: () => void (this.#requests -= 1),
      onFailure,
      onClosed: (socket: HranaSocket) => void this.#sockets.delete(socket),
    };
    return {
      GET: (request) => {
        // Under Deno there are no headers to read once the connection is no HTTP any more.
        const database = socketDatabaseOf(request);
        return handleUpgrade(request, (connection, version) => {
          const socket = new HranaSocket(connection, version, { ...options, database });
          this.#sockets.add(socket);
          // It was asked for before the node began to stop.
          if (this.#closing !== undefined) clock.soon(() => void socket.stop());
          return socket;
        });
      },
    };
  }

  /** Every request passes here: what need not wait is not made to wait for a promise. */
  #answer(request: HttpRequest): Promise<HttpReply> | HttpReply {
    if (this.#closing !== undefined) {
      return errorReply(new DatabaseError("SHUTTING_DOWN", "This node is stopping"));
    }
    const origin = request.header("origin");
    return origin === undefined ? this.#route(request) : this.#answerPage(request, origin);
  }

  async #answerPage(request: HttpRequest, origin: string): Promise<HttpReply> {
    const refusal = refuseOrigin(request, origin, this.#allowedOrigins);
    if (refusal !== undefined) return refusal;
    const reply = request.method === "OPTIONS" ? preflightReply() : await this.#route(request);
    return withOrigin(reply, origin, this.#allowedOrigins);
  }

  #route(request: HttpRequest): Promise<HttpReply> | HttpReply {
    const { method, path } = request;
    const route = this.#routes.get(path) ?? this.#databaseRoute(request);
    if (route === undefined) {
      const shown = JSON.stringify(path.slice(0, PATH_LENGTH_SHOWN));
      return errorReply(new DatabaseError("PROTOCOL", `There is no endpoint ${shown}`), 404);
    }
    const handler = method === "POST"
      ? route.POST
      : method === "GET" || method === "HEAD"
      ? route.GET
      : method === "DELETE"
      ? route.DELETE
      : undefined;
    if (handler === undefined) return refuseMethod(method, path, route);
    // Only what has a body is counted: health must be told at any load.
    return handler === route.GET ? ask(handler, request) : this.#run(handler, request);
  }

  /** What a path that begins with the name of a database answers. */
  #databaseRoute(request: HttpRequest): Route | undefined {
    const { path } = request;
    const isSocket = request.header("upgrade") !== undefined && isSocketPath(path);
    return this.#routes.get(isSocket ? SOCKET_ROUTE : splitDatabasePath(path)?.path ?? "");
  }

  async #run(handler: Handler, request: HttpRequest): Promise<HttpReply> {
    if (this.#requests >= this.#requestsMax) {
      const message = `${this.#requestsMax} requests are under way on this node already`;
      return errorReply(new DatabaseError("BUSY", message));
    }
    this.#requests += 1;
    try {
      return await handler(request);
    } catch (error) {
      return refusalOf(error);
    } finally {
      this.#requests -= 1;
    }
  }
}

/** What needs no waiting is answered at once. */
function ask(handler: Handler, request: HttpRequest): Promise<HttpReply> | HttpReply {
  try {
    const reply = handler(request);
    return reply instanceof Promise ? reply.catch(refusalOf) : reply;
  } catch (error) {
    return refusalOf(error);
  }
}

/** The reply to what a handler threw; a fault of the node itself is thrown on. */
function refusalOf(error: unknown): HttpReply {
  if (error instanceof DatabaseError) return errorReply(error);
  throw error;
}

function buildRoutes(
  options: ServerOptions,
  proxy: Proxy,
  socket: Route,
): ReadonlyMap<string, Route> {
  const { sessions, operations, version } = options;
  const pipeline: Route = { POST: (request) => handlePipeline(request, sessions, proxy) };
  const health = jsonReply(200, `{"status":"ok"}`);
  const versionReply = jsonReply(200, JSON.stringify({ version }));
  return new Map<string, Route>([
    ["/v2/pipeline", pipeline],
    ["/v3/pipeline", pipeline],
    [SOCKET_ROUTE, socket],
    // Clients ask these to learn which versions there are. There is no `/v3-protobuf`: older
    // clients would then speak it.
    ["/v2", { GET: () => textReply("Hrana 2 over HTTP, in JSON\n") }],
    ["/v3", { GET: () => textReply("Hrana 3 over HTTP, in JSON\n") }],
    ["/health", { GET: () => health }],
    ["/readyz", { GET: (request) => readyReply(operations, request.query) }],
    ["/version", { GET: () => versionReply }],
    ["/cluster", { GET: () => clusterReply(operations) }],
    ["/cluster/databases", databasesRoute(operations, proxy)],
    ["/cluster/backup", { GET: (request) => handleBackup(request, operations) }],
    ...restoreRoutes(operations, proxy),
    ["/cluster/digest", { GET: (request) => handleDigest(request, operations) }],
    ["/cluster/remove", { POST: (request) => handleRemove(request, operations, proxy) }],
    ["/cluster/role", { POST: (request) => handleRole(request, operations, proxy) }],
    ["/cluster/transfer", { POST: (request) => handleTransfer(request, operations, proxy) }],
    ["/cluster/checkpoint", { POST: () => handleCheckpoint(operations) }],
    ["/cluster/scrub", { POST: () => handleScrub(operations) }],
  ]);
}

function databasesRoute(operations: Operations, proxy: Proxy): Route {
  return {
    GET: () => databasesReply(operations),
    POST: (request) => handleCreate(request, operations, proxy),
    DELETE: (request) => handleDrop(request, operations, proxy),
  };
}

function restoreRoutes(operations: Operations, proxy: Proxy): [string, Route][] {
  return RESTORE_STEPS.map((step) => {
    const POST: Handler = (request) => handleRestore(step, request, operations, proxy);
    return [`/cluster/restore/${step}`, { POST }];
  });
}

function refuseMethod(method: string, path: string, route: Route): HttpReply {
  const allow = Object.keys(route).join(", ");
  const error = new DatabaseError("PROTOCOL", `${path} takes ${allow}, not ${method}`);
  return { ...errorReply(error, 405), headers: { allow } };
}
