/** A client that talks to the node in its own process, and to the others over HTTP. */
import { DatabaseError } from "./base/errors.ts";
import { type Random, SeededRandom } from "./base/random.ts";
import { ClusterClient } from "./client/client.ts";
import { ClientError } from "./client/error.ts";
import { httpTransport } from "./client/http_transport.ts";
import type { ClusterView, PipelineReply, PipelineTransport } from "./client/transport.ts";
import { systemClock } from "./io/clock.ts";
import type { ClusterStatus } from "./server/types.ts";
import type { Sessions } from "./session/types.ts";
import { jsonText } from "./wire/hrana/encode.ts";
import type { PipelineBody } from "./wire/hrana/types.ts";

/** The node, as its own client sees it. */
export interface LocalNode {
  readonly httpUrl: string;
  readonly sessions: Sessions;
  /** The name of a database; undefined for the first one. */
  readonly database?: string | undefined;
  clusterStatus(): ClusterStatus;
}

/** Makes a client of the node's cluster that starts with the node itself. */
export function localClient(node: LocalNode, seed: number): ClusterClient {
  const random: Random = new SeededRandom(seed);
  const transport = new LocalTransport(node);
  const { database } = node;
  const options = { urls: [node.httpUrl], ...database !== undefined && { database } };
  return new ClusterClient(options, { transport, clock: systemClock, random });
}

class LocalTransport implements PipelineTransport {
  readonly #node: LocalNode;
  readonly #remote: PipelineTransport;

  constructor(node: LocalNode) {
    this.#node = node;
    this.#remote = httpTransport((url, init) => globalThis.fetch(url, init), node.database);
  }

  async send(url: string, body: PipelineBody, signal: AbortSignal): Promise<PipelineReply> {
    if (!this.#isLocal(url)) return await this.#remote.send(url, body, signal);
    const { sessions, database } = this.#node;
    try {
      const { baton, results } = await sessions.pipeline({ ...body, database });
      const parsed = results.map((json) => JSON.parse(jsonText(json)));
      return { baton, baseUrl: undefined, results: parsed };
    } catch (error) {
      throw asClientError(error);
    }
  }

  async cluster(url: string, signal: AbortSignal): Promise<ClusterView | undefined> {
    if (!this.#isLocal(url)) return await this.#remote.cluster(url, signal);
    try {
      const { term, leader, members } = this.#node.clusterStatus();
      return {
        term,
        leaderUrl: leader?.httpUrl,
        memberUrls: members.map(({ httpUrl }) => httpUrl),
      };
    } catch (error) {
      throw asClientError(error);
    }
  }

  #isLocal(url: string): boolean {
    return new URL(url).origin === new URL(this.#node.httpUrl).origin;
  }
}

function asClientError(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const { wireCode, message, outcome, hint, leader, sqliteCode } = error;
  return new ClientError(wireCode, message, {
    outcome,
    cause: error,
    ...(hint === undefined ? {} : { hint }),
    ...(leader === undefined ? {} : { leader }),
    ...(sqliteCode === undefined ? {} : { rawCode: sqliteCode }),
  });
}
