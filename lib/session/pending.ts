import type { DatabaseError } from "../base/errors.ts";
import { newJob } from "./job.ts";
import type { Stream } from "./streams.ts";
import type { PipelineRequest, PipelineResponse } from "./types.ts";
import type { Job, JobDatabase, JobResult } from "./worker_messages.ts";

/** Where and how a pipeline runs. */
export interface Place {
  /** The stream it belongs to; undefined for one that closes its own. */
  readonly stream: Stream | undefined;
  /** Whether it goes on with a stream that was open before. */
  readonly resumed: boolean;
  /** Undefined for the first database. */
  readonly database: JobDatabase | undefined;
  /** Whether it runs on the leader's databases, ahead of the quorum. */
  readonly leading: boolean;
  /** Where it runs; one that waits for the write turn may still be sent elsewhere. */
  worker: number;
}

/** A pipeline on its way from its request to its answer. */
export interface Pending extends Place {
  readonly request: PipelineRequest;
  readonly job: Job;
  /** Until when it must have come to a worker. */
  readonly deadlineMs: number;
  dispatched: boolean;
  /** Whether it waited for the write turn as a whole. */
  readonly queued: boolean;
  /** Whether leadership was confirmed after the request arrived; undefined while it is asked. */
  confirmed: boolean | undefined;
  result: JobResult | undefined;
  /** Lets its database be closed. */
  readonly letGo: (() => void) | undefined;
  readonly resolve: (response: PipelineResponse) => void;
  readonly reject: (error: DatabaseError) => void;
}

/** A pipeline that was asked for, and did nothing yet. */
export function newPending(
  id: number,
  request: PipelineRequest,
  place: Place,
  rest: Pick<Pending, "queued" | "deadlineMs" | "letGo" | "resolve" | "reject">,
): Pending {
  const job = newJob(id, place.stream?.id, request, place.leading, place.database);
  const state = { dispatched: false, confirmed: undefined, result: undefined };
  return { ...place, request, job, ...state, ...rest };
}
