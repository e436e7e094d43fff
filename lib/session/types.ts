/**
 * What a server front end asks of sessions: to run a pipeline of Hrana requests on a stream.
 */
import type { Json, StreamRequest } from "../wire/hrana/types.ts";

/** Requests of one stream, in order. */
export interface PipelineRequest {
  /** Names an open stream; undefined opens a new one. */
  readonly baton: string | undefined;
  /** The name of a database, for a new stream; undefined for the first one. */
  readonly database?: string | undefined;
  readonly requests: readonly StreamRequest[];
  /** The text that it was decoded from, which crosses to another thread for less. */
  readonly text?: string;
  /**
   * Whether the text looks like one that `looksLikeLongOneShot`. Then the other members may be
   * decoded only when they are asked for.
   */
  readonly isLong?: boolean;
  /** Whether large results may come as the body of the reply, which spares copying them. */
  readonly wantsBody?: boolean;
}

/** The answer to a pipeline. */
export interface PipelineResponse {
  /** Names the stream for the next pipeline; undefined when the stream is closed. */
  readonly baton: string | undefined;
  /**
   * The JSON for each request, in order, in its final form:
   * `{"type":"ok","response":…}` or `{"type":"error","error":{"message":…,"code":…}}`.
   */
  readonly results: readonly Json[];
  /** The whole body of the reply, where it was wanted and the results are large; they are empty. */
  readonly body?: Uint8Array<ArrayBuffer> | undefined;
}

/** Runs pipelines; one for each node. */
export interface Sessions {
  /**
   * Runs every request of a pipeline, also after one failed. The promise settles once everything
   * that the results show is committed on a quorum.
   *
   * @throws {DatabaseError} when the pipeline as a whole was refused, `NOT_LEADER` among others:
   * then nothing of it was done, and `leader` names the node to ask, where it is known.
   */
  pipeline(request: PipelineRequest): Promise<PipelineResponse>;
}
