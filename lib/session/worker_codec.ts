/**
 * How messages cross to a worker and back. A text crosses a thread for half of what an object
 * costs, and bytes that are handed over for nothing. So a message goes as JSON whenever JSON can
 * carry it; texts that are JSON already follow it as they are, behind a line feed, and are not
 * escaped and parsed again.
 */
import { decodePipeline } from "../wire/hrana/decode.ts";
import type { Json, StreamRequest, Value } from "../wire/hrana/types.ts";
import { asPlain } from "./plain_error.ts";
import { isOneShot } from "./routing.ts";
import type { FromWorker, Job, JobResult, ToWorker } from "./worker_messages.ts";

/** JSON has none of its own outside of strings, where it is escaped. */
const END_OF_HEAD = "\n";

/** A job whose requests follow as text. */
interface JobHead extends Omit<Job, "requests" | "text"> {
  readonly chars: number;
}

/** A result of which the lengths of its texts are told, which follow. */
interface ResultHead extends Omit<JobResult, "results"> {
  readonly chars: readonly number[];
}

type Run = Extract<ToWorker, { type: "run" }>;
type Done = Extract<FromWorker, { type: "done" | "granted_done" }>;

/** Packs a message for a worker. */
export function packToWorker(message: ToWorker): unknown {
  if (message.type === "file_task") return message;
  if (message.type !== "run") return JSON.stringify(message);
  const { jobs } = message;
  if (jobs.every(({ text }) => text !== undefined)) return packTexts(message);
  return jobs.every(({ requests }) => isJson(requests)) ? JSON.stringify(message) : message;
}

/** Packs a worker's message; but for pages and large results, it is of texts and numbers. */
export function packFromWorker(message: FromWorker): unknown {
  if (message.type === "backup_part" || message.type === "file_task_done") return message;
  if (message.type !== "done" && message.type !== "granted_done") return JSON.stringify(message);
  return bytesIn(message).length > 0 ? message : packResults(message);
}

/** The memory that a worker hands over with a message, and no longer has itself. */
export function handedOver(message: FromWorker): ArrayBuffer[] {
  const withResults = message.type === "done" || message.type === "granted_done";
  return withResults ? bytesIn(message).map(({ buffer }) => buffer) : [];
}

/** Unpacks what the other side packed. */
export function unpack<Message>(data: unknown): Message {
  if (typeof data !== "string") return data as Message;
  const end = data.indexOf(END_OF_HEAD);
  if (end < 0) return JSON.parse(data) as Message;
  const head = JSON.parse(data.slice(0, end)) as { type: string };
  const message = head.type === "run"
    ? unpackTexts(head, data, end)
    : unpackResults(head, data, end);
  return message as Message;
}

function packTexts({ type, jobs, grant }: Run): string {
  const heads: JobHead[] = [];
  let texts = "";
  // The requests of a long text are decoded when they are touched.
  for (const { id, database, streamId, writable, isLong, wantsBody, text } of jobs) {
    heads.push({ id, database, streamId, writable, isLong, wantsBody, chars: text!.length });
    texts += text;
  }
  return JSON.stringify({ type, grant, jobs: heads }) + END_OF_HEAD + texts;
}

function unpackTexts(head: object, data: string, end: number): object {
  const { jobs, ...message } = head as { jobs: JobHead[] };
  let at = end + 1;
  const unpacked = jobs.map(({ chars, ...job }) => {
    const text = data.slice(at, at += chars);
    return job.isLong === true ? unpackLong(job, text) : { ...job, ...decoded(text) };
  });
  return { ...message, jobs: unpacked };
}

function decoded(text: string): { requests: readonly StreamRequest[] } {
  return { requests: decodePipeline(text).requests };
}

/** A text that nobody decoded before: it may be refused, or not be a one-shot pipeline. */
function unpackLong(job: Omit<JobHead, "chars">, text: string): Job {
  try {
    const { baton, requests } = decodePipeline(text);
    return { ...job, requests, isMisjudged: baton !== undefined || !isOneShot(requests) };
  } catch (error) {
    return { ...job, requests: [], fault: asPlain(error) };
  }
}

function packResults({ results, ...message }: Done): string {
  const heads: ResultHead[] = [];
  let texts = "";
  for (const { results: jsons, ...result } of results) {
    const chars: number[] = [];
    for (const json of jsons) {
      chars.push(json.length);
      texts += json as string;
    }
    heads.push({ ...result, chars });
  }
  return JSON.stringify({ ...message, results: heads }) + END_OF_HEAD + texts;
}

function unpackResults(head: object, data: string, end: number): object {
  const { results, ...message } = head as { results: ResultHead[] };
  let at = end + 1;
  const unpacked = results.map(({ chars, ...result }) => {
    const jsons: Json[] = chars.map((count) => data.slice(at, at += count));
    return { ...result, results: jsons };
  });
  return { ...message, results: unpacked };
}

function bytesIn({ results }: Done): Uint8Array<ArrayBuffer>[] {
  const found: Uint8Array<ArrayBuffer>[] = [];
  for (const { results: jsons, body } of results) {
    if (body !== undefined) found.push(body);
    for (const json of jsons) {
      if (typeof json === "string") continue;
      for (const part of json) if (typeof part !== "string") found.push(part);
    }
  }
  return found;
}

/** Whether every argument survives JSON: integers of 64 bits, blobs and infinities do not. */
function isJson(requests: readonly StreamRequest[]): boolean {
  for (const request of requests) {
    if (request.type === "execute") {
      if (!areJson(request.stmt.args) || request.stmt.namedArgs.length > 0) return false;
    } else if (request.type === "batch") {
      for (const { stmt } of request.batch.steps) {
        if (!areJson(stmt.args) || stmt.namedArgs.length > 0) return false;
      }
    }
  }
  return true;
}

function areJson(values: readonly Value[]): boolean {
  for (const value of values) {
    if (typeof value === "bigint" || typeof value === "object" && value !== null) return false;
    // JSON has no negative zero either.
    if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
      return false;
    }
  }
  return true;
}
