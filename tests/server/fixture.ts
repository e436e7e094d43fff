/** Servers for tests: real sockets on free ports, and nodes whose behaviour a test writes down. */
import { connect } from "node:net";
import { DatabaseError, type ErrorCode, type ErrorDetails } from "../../lib/base/errors.ts";
import { systemClock } from "../../lib/io/clock.ts";
import { SocketHttpClient } from "../../lib/io/http_client.ts";
import { Server } from "../../lib/server/server.ts";
import type { Leadership, Operations, ServerOptions } from "../../lib/server/types.ts";
import type { PipelineRequest, PipelineResponse, Sessions } from "../../lib/session/types.ts";
import { encodeOk } from "../../lib/wire/hrana/encode.ts";

/** Answers every pipeline as if its requests had succeeded, and keeps what it was asked. */
export class FakeSessions implements Sessions {
  readonly pipelines: PipelineRequest[] = [];
  answer: (request: PipelineRequest) => Promise<PipelineResponse> = (request) =>
    Promise.resolve({
      baton: request.requests.some(({ type }) => type === "close") ? undefined : "next",
      results: request.requests.map(() => encodeOk({ type: "close" })),
    });

  pipeline(request: PipelineRequest): Promise<PipelineResponse> {
    this.pipelines.push(request);
    return this.answer(request);
  }

  /** From here on every pipeline is refused as a whole. */
  refuse(code: ErrorCode, details?: ErrorDetails): void {
    this.answer = () => Promise.reject(new DatabaseError(code, `refused: ${code}`, details));
  }
}

export const unknownLeader: Leadership = {
  leaderUrl: () => undefined,
  waitForLeader: () => Promise.resolve(false),
};

/** Operations that refuse every change but those a test gives. */
export function fakeOperations(given: Partial<Operations> = {}): Operations {
  const refuse = () => Promise.reject(new DatabaseError("MEMBERSHIP", "not now"));
  return {
    clusterStatus: () => ({
      clusterId: "c1",
      nodeId: 1,
      version: "0.0.1",
      role: "leader",
      recovering: false,
      term: 3,
      leader: { id: 1, address: "127.0.0.1:9001", httpUrl: "http://127.0.0.1:8080" },
      commitIndex: 7,
      appliedIndex: 7,
      lastIndex: 8,
      members: [],
      archive: null,
      integrity: {
        verifiedIndex: 6,
        unknownPages: 0,
        damagedPages: 0,
        repairedPages: 0,
        diverged: false,
        healing: null,
        scrub: { rounds: 1, page: 0, lastRound: null },
      },
    }),
    readiness: () => ({ leaderKnown: true, appliedIndex: 7, requiredIndex: 7 }),
    remove: refuse,
    assign: refuse,
    transfer: refuse,
    databases: refuse,
    createDatabase: refuse,
    dropDatabase: refuse,
    checkpoint: refuse,
    digest: refuse,
    backup: refuse,
    restores: () => {
      throw new DatabaseError("MEMBERSHIP", "not now");
    },
    scrub: refuse,
    ...given,
  };
}

/** A server and everything that must end with it. */
export interface TestServer extends AsyncDisposable {
  readonly server: Server;
  readonly url: string;
  readonly failures: unknown[];
}

/** Starts a server on a free port. */
export async function startServer(given: Partial<ServerOptions> = {}): Promise<TestServer> {
  const client = new SocketHttpClient(systemClock);
  const failures: unknown[] = [];
  const server = await Server.start({
    hostname: "127.0.0.1",
    port: 0,
    nodeId: 1,
    version: "0.0.1",
    sessions: new FakeSessions(),
    operations: fakeOperations(),
    leadership: unknownLeader,
    client,
    clock: systemClock,
    onFailure: (error) => failures.push(error),
    ...given,
  });
  return {
    server,
    url: server.url,
    failures,
    async [Symbol.asyncDispose]() {
      await server.close(0);
      client.close();
    },
  };
}

/** A reply, with its body parsed. */
export interface JsonReply {
  readonly status: number;
  readonly contentType: string | null;
  // deno-lint-ignore no-explicit-any
  readonly json: any;
}

/** Sends a request and reads its JSON reply. */
export async function ask(url: string, init?: RequestInit): Promise<JsonReply> {
  const response = await fetch(url, init);
  const text = await response.text();
  return {
    status: response.status,
    contentType: response.headers.get("content-type"),
    json: text === "" ? undefined : JSON.parse(text),
  };
}

/** Posts a body to `/v2/pipeline`. */
export function post(url: string, body: BodyInit): Promise<JsonReply> {
  return ask(`${url}/v2/pipeline`, { method: "POST", body });
}

/** The body of a pipeline that runs one statement and closes its stream. */
export const ONE_STATEMENT = JSON.stringify({
  requests: [{ type: "execute", stmt: { sql: "INSERT INTO t VALUES (1)" } }, { type: "close" }],
});

/** Waits until `condition` holds, at most two seconds unless told otherwise. */
export async function until(
  condition: () => boolean,
  what: string,
  timeoutMs = 2_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/**
 * Writes text to a server as it is.
 *
 * @param until When it has heard enough.
 * @returns What the server answers until then.
 */
export async function talk(
  port: number,
  text: string,
  until: "answered" | "closed" = "answered",
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (data) => {
      answer += data.toString();
      if (until === "answered" && answer.includes("\r\n\r\n")) {
        socket.destroy();
        resolve(answer);
      }
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
    socket.write(text);
  });
}
