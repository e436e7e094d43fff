/** Results of jobs of which nothing was done. */
import { asPlain } from "./plain_error.ts";
import { NotHereError } from "./request_runner.ts";
import type { Job, JobResult } from "./worker_messages.ts";

/** The job was refused, and may be done elsewhere. */
export function refusal(job: Job, error: unknown): JobResult {
  const refused = asPlain(error instanceof NotHereError ? error.reason : error);
  return { ...undone(job), refused };
}

/** Nothing of the job was done. */
export function undone(job: Job): JobResult {
  return {
    id: job.id,
    databaseId: job.database?.id,
    results: [],
    refused: undefined,
    seq: 0,
    captured: false,
    open: false,
    inTransaction: false,
  };
}
