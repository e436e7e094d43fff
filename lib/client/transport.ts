import type { PipelineBody } from "../wire/hrana/types.ts";

/** The answer to a pipeline. */
export interface PipelineReply {
  /** Names the stream for the next pipeline; undefined when it is closed. */
  readonly baton: string | undefined;
  /** Where the rest of the stream is to go; undefined for the same place. */
  readonly baseUrl: string | undefined;
  /** One Hrana result for each request, parsed from JSON and not yet checked. */
  readonly results: readonly unknown[];
}

/** What a node says of its cluster. */
export interface ClusterView {
  readonly term: number;
  /** HTTP address of the leader; undefined when there is none, or it does not offer HTTP. */
  readonly leaderUrl: string | undefined;
  /** HTTP addresses of all members that offer HTTP. */
  readonly memberUrls: readonly string[];
  /** All that the node tells, where it came as JSON. */
  readonly status?: Readonly<Record<string, unknown>>;
}

/** How pipelines reach nodes. Every rejection is a `ClientError`. */
export interface PipelineTransport {
  /**
   * Sends a pipeline once, and never again by itself: whether it may be sent again is not known
   * here.
   *
   * @throws {ClientError} with outcome `rejected` only when the node cannot have acted on it.
   */
  send(baseUrl: string, body: PipelineBody, signal: AbortSignal): Promise<PipelineReply>;
  /**
   * Asks a node for its cluster.
   *
   * @returns Undefined when the server knows nothing of clusters: then it is the only one.
   */
  cluster(baseUrl: string, signal: AbortSignal): Promise<ClusterView | undefined>;
}
