/** Makes the job of a pipeline. */
import type { PipelineRequest } from "./types.ts";
import type { Job, JobDatabase } from "./worker_messages.ts";

/**
 * @param streamId The stream it belongs to; undefined for one that closes its own.
 * @param writable Whether statements of it may write.
 * @param database Undefined for the first one.
 */
export function newJob(
  id: number,
  streamId: number | undefined,
  request: PipelineRequest,
  writable: boolean,
  database: JobDatabase | undefined,
): Job {
  const { text, wantsBody } = request;
  const job = { id, database, streamId, text, writable, wantsBody };
  if (request.isLong !== true) return { ...job, requests: request.requests };
  return {
    ...job,
    isLong: true,
    /** Decodes them: for what is seldom asked. */
    get requests() {
      return request.requests;
    },
  };
}

/** The same pipeline, one that is long decoded. */
export function asDecoded(request: PipelineRequest): PipelineRequest {
  if (request.isLong !== true) return request;
  const { baton, database, requests, text, wantsBody = false } = request;
  return { baton, database, requests, wantsBody, ...text !== undefined && { text } };
}
