import { MAIN_DATABASE_ID } from "../wire/command.ts";
import type { DatabaseTurnsTable } from "./database_turns.ts";
import type { Reader } from "./long_readers.ts";
import type { Pending } from "./pending.ts";
import { firstSql } from "./routing.ts";
import type { Stream } from "./streams.ts";

/** What sessions are made of, as far as readers are looked for. */
export interface ReadersHost {
  /** When each job was handed to a worker that did not come back yet. */
  readonly jobs: Iterable<readonly [jobId: number, handedMs: number]>;
  readonly pending: ReadonlyMap<number, Pending>;
  readonly streams: Iterable<Stream>;
  readonly turns: DatabaseTurnsTable;
  endRequest(pending: Pending, error: Parameters<Reader["end"]>[0]): void;
  endStream(stream: Stream): void;
}

/**
 * Who may be looking at an old state of a database: statements that run, transactions that are
 * open. Whoever holds the write turn is not among them: nobody writes meanwhile.
 */
export function sessionReaders(host: ReadersHost): Reader[] {
  const { jobs, pending, streams, turns } = host;
  const readers: Reader[] = [];
  const running = new Set<number>();
  for (const [jobId, sinceMs] of jobs) {
    const one = pending.get(jobId);
    if (one === undefined || one.queued) continue;
    const { stream, job, database } = one;
    const databaseId = database?.id ?? MAIN_DATABASE_ID;
    if (stream !== undefined) running.add(stream.id);
    if (turns.get(databaseId)?.write.isHeldByJob(jobId)) continue;
    readers.push({
      databaseId,
      key: stream === undefined ? `request ${jobId}` : `stream ${stream.id}`,
      sinceMs: stream?.transactionSinceMs ?? sinceMs,
      sql: firstSql(job.requests),
      end: (error) => host.endRequest(one, error),
    });
  }
  for (const stream of streams) {
    if (stream.transactionSinceMs === undefined || running.has(stream.id)) continue;
    const databaseId = stream.database?.id ?? MAIN_DATABASE_ID;
    if (turns.get(databaseId)?.write.isHeldByStream(stream.id)) continue;
    readers.push({
      databaseId,
      key: `stream ${stream.id}`,
      sinceMs: stream.transactionSinceMs,
      sql: "",
      end: () => host.endStream(stream),
    });
  }
  return readers;
}
