/** What the main thread and the SQL workers tell each other. Plain data: it is cloned. */
import type { ErrorCode, Outcome } from "../base/errors.ts";
import type { CheckpointResult } from "../database/connection.ts";
import type { Json, StreamRequest } from "../wire/hrana/types.ts";
import type { FileTask, FileTaskResult } from "./file_task.ts";

/** Where a worker finds the engine and the data. */
export interface WorkerSetup {
  readonly libraryPath: string;
  readonly databasePath: string;
  /** Names its sessions, so that they can be interrupted apart from others. */
  readonly owner: number;
}

/** A database beside the first one. */
export interface JobDatabase {
  readonly id: number;
  readonly path: string;
}

/** One pipeline to run. */
export interface Job {
  readonly id: number;
  /** Undefined for the first database. */
  readonly database?: JobDatabase | undefined;
  /** Names a stream that lives on; undefined for a pipeline that closes its own. */
  readonly streamId: number | undefined;
  readonly requests: readonly StreamRequest[];
  /** The text that the requests were decoded from, where there is one. */
  readonly text?: string | undefined;
  /** False on a follower: a statement that writes is refused. */
  readonly writable: boolean;
  /** Whether the text was not decoded on its way, and is only taken for a one-shot pipeline. */
  readonly isLong?: boolean | undefined;
  /** Why a long text was refused, when it was decoded at last; there are no requests then. */
  readonly fault?: PlainError;
  /** Whether a long text turned out to be something else. */
  readonly isMisjudged?: boolean;
  /** Whether large results may come as the body of the reply. */
  readonly wantsBody?: boolean | undefined;
}

/** An error as plain data. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly outcome: Outcome;
  readonly hint: string | undefined;
}

/** What became of a job. */
export interface JobResult {
  readonly id: number;
  /** Undefined for the first database. */
  readonly databaseId?: number | undefined;
  /** The JSON of each result; empty when the job was refused, or there is a body. */
  readonly results: readonly Json[];
  /** The body of the reply to a pipeline, with all results, where they are large. */
  readonly body?: Uint8Array<ArrayBuffer>;
  /** Set when nothing of the job was done, and it may be done elsewhere. */
  readonly refused: PlainError | undefined;
  /** Number of the last transaction that the results may show. */
  readonly seq: number;
  /** Whether the job itself committed a transaction. */
  readonly captured: boolean;
  /** Whether the stream is still open. */
  readonly open: boolean;
  /** Whether the stream is inside a transaction. */
  readonly inTransaction: boolean;
  /** Whether nothing was done, since a long text is not what it was taken for. */
  readonly isMisjudged?: boolean;
}

/**
 * From the main thread to a worker: copies of whole databases. `database` is the path of its file,
 * undefined for the first one.
 */
export type CopyToWorker =
  /** Takes a snapshot of the database, to be read in pieces. */
  | { readonly type: "backup_begin"; readonly id: number; readonly database?: string }
  | { readonly type: "backup_next"; readonly id: number }
  | { readonly type: "backup_end"; readonly id: number }
  /** Looks for what is wrong with a file that is to replace the database. */
  | {
    readonly type: "restore_check";
    readonly id: number;
    readonly path: string;
    readonly database?: string;
  }
  /** Replaces the database by a file, in one transaction, under the write turn. */
  | {
    readonly type: "restore";
    readonly id: number;
    readonly path: string;
    readonly database?: string;
    /** Whether a database that holds something may be replaced. */
    readonly force: boolean;
  };

/** From a worker to the main thread: copies of whole databases. */
export type CopyFromWorker =
  | {
    readonly type: "backup_begun";
    readonly id: number;
    readonly pages: number;
    readonly pageSizeBytes: number;
    readonly error: PlainError | undefined;
  }
  | {
    readonly type: "backup_part";
    readonly id: number;
    /** Pages; none once all were handed over. */
    readonly bytes: Uint8Array<ArrayBuffer>;
    /** SHA-256 over all pages, in hexadecimal, with the part that has none. */
    readonly sha256: string | undefined;
    readonly error: PlainError | undefined;
  }
  | {
    readonly type: "restore_checked";
    readonly id: number;
    readonly error: PlainError | undefined;
  }
  | {
    readonly type: "restore_done";
    readonly id: number;
    /** Number of the transaction that replaced the database. */
    readonly seq: number;
    readonly error: PlainError | undefined;
  };

/** From the main thread to a worker. */
export type ToWorker =
  | CopyToWorker
  | { readonly type: "setup"; readonly setup: WorkerSetup }
  /** Runs jobs in order. With a grant, all of them hold the write turn. */
  | { readonly type: "run"; readonly jobs: readonly Job[]; readonly grant: number | undefined }
  /** Answers `need_turn`. */
  | { readonly type: "turn"; readonly jobId: number; readonly error: PlainError | undefined }
  | {
    readonly type: "close_stream";
    readonly streamId: number;
    readonly databaseId?: number | undefined;
  }
  /** Lets go of every statement, transaction and connection. */
  | { readonly type: "reset" }
  /** Lets go of the idle connections to a database; with `isGone` of everything there. */
  | {
    readonly type: "release";
    readonly id: number;
    readonly database: string;
    readonly isGone: boolean;
  }
  | { readonly type: "checkpoint"; readonly id: number; readonly database?: string }
  | { readonly type: "digest"; readonly id: number; readonly database?: string }
  | {
    readonly type: "file_task";
    readonly id: number;
    readonly task: FileTask;
    readonly database?: string;
  }
  | { readonly type: "stop" };

/** From a worker to the main thread. */
export type FromWorker =
  | CopyFromWorker
  | { readonly type: "ready" }
  | { readonly type: "done"; readonly results: readonly JobResult[] }
  /** Every job of the grant is done: the write turn is free. */
  | {
    readonly type: "granted_done";
    readonly results: readonly JobResult[];
    readonly grant: number;
    /** Undefined for the first database. */
    readonly databaseId?: number | undefined;
  }
  | { readonly type: "need_turn"; readonly jobId: number }
  /** The stream's transaction, if any, is rolled back. */
  | {
    readonly type: "stream_closed";
    readonly streamId: number;
    readonly databaseId?: number | undefined;
  }
  | { readonly type: "reset_done" }
  | {
    readonly type: "released";
    readonly id: number;
    /** Whether a stream or a job still uses the database. */
    readonly busy: boolean;
  }
  | {
    readonly type: "checkpoint_done";
    readonly id: number;
    /** Undefined when it failed. */
    readonly result: CheckpointResult | undefined;
    readonly error: PlainError | undefined;
    /** Whether the system failed to read, write or sync a file. */
    readonly ioFailed: boolean;
  }
  /** The snapshot is taken: the databases may go on. */
  | { readonly type: "digest_begun"; readonly id: number }
  | {
    readonly type: "digest_done";
    readonly id: number;
    readonly sha256: string;
    readonly pages: number;
    readonly error: PlainError | undefined;
  }
  | {
    readonly type: "file_task_done";
    readonly id: number;
    /** Undefined when it failed, and where the task has nothing to tell. */
    readonly result: FileTaskResult | undefined;
    readonly error: PlainError | undefined;
  }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "stopped" };
