import type { DatabaseError } from "../base/errors.ts";
import type { Stream } from "./streams.ts";
import type { PipelineRequest, PipelineResponse } from "./types.ts";
import type { Job, JobResult } from "./worker_messages.ts";

/** Where and how a pipeline runs. */
export interface Place {
  /** The stream it belongs to; undefined for one that closes its own. */
  readonly stream: Stream | undefined;
  /** Whether it goes on with a stream that was open before. */
  readonly resumed: boolean;
  /** Whether it runs on the leader's databases, ahead of the quorum. */
  readonly leading: boolean;
  readonly worker: number;
}

/** A pipeline on its way from its request to its answer. */
export interface Pending extends Place {
  readonly request: PipelineRequest;
  readonly job: Job;
  /** Until when it must have come to a worker. */
  readonly deadlineMs: number;
  dispatched: boolean;
  /** Whether leadership was confirmed after the request arrived; undefined while it is asked. */
  confirmed: boolean | undefined;
  result: JobResult | undefined;
  readonly resolve: (response: PipelineResponse) => void;
  readonly reject: (error: DatabaseError) => void;
}
