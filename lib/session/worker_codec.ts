/**
 * How messages cross to a worker and back. A text crosses a thread for half of what an object
 * costs, so a message goes as JSON whenever JSON can carry it.
 */
import type { StreamRequest, Value } from "../wire/hrana/types.ts";
import type { FromWorker, ToWorker } from "./worker_messages.ts";

/** Packs a message for a worker. */
export function packToWorker(message: ToWorker): unknown {
  const plain = message.type !== "run" || message.jobs.every(({ requests }) => isJson(requests));
  return plain ? JSON.stringify(message) : message;
}

/** Packs a worker's message; but for pages, it is of texts and numbers, which JSON carries. */
export function packFromWorker(message: FromWorker): unknown {
  return message.type === "backup_part" ? message : JSON.stringify(message);
}

/** Unpacks what the other side packed. */
export function unpack<Message>(data: unknown): Message {
  return (typeof data === "string" ? JSON.parse(data) : data) as Message;
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
