/** Hands {@linkcode FileTask}s to the SQL workers, and brings back what came of them. */
import { DatabaseError } from "../base/errors.ts";
import type { FileTask, FileTaskResult, FileTaskResults } from "./file_task.ts";
import { fromPlain } from "./plain_error.ts";
import type { FromWorker } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

type Reply = Extract<FromWorker, { type: "file_task_done" }>;

/** See the file comment. */
export class FileTasks {
  readonly #pool: WorkerPool;
  readonly #waiting = new Map<number, (reply: Reply | undefined) => void>();
  #lastId = 0;
  #stopped = false;

  constructor(pool: WorkerPool) {
    this.#pool = pool;
  }

  /**
   * Has a worker do a task.
   *
   * @throws {DatabaseError} what the worker met; `SHUTTING_DOWN` when the node stops.
   */
  async run<Type extends FileTask["type"]>(
    task: FileTask & { readonly type: Type },
  ): Promise<FileTaskResults[Type]> {
    if (this.#stopped) throw stopping();
    const id = ++this.#lastId;
    const reply = await new Promise<Reply | undefined>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#pool.post(this.#pool.pick(), { type: "file_task", id, task });
    });
    this.#waiting.delete(id);
    if (reply === undefined) throw stopping();
    if (reply.error !== undefined) throw fromPlain(reply.error);
    return reply.result as FileTaskResult as FileTaskResults[Type];
  }

  /** Takes a worker's message that answers a task. */
  receive(message: FromWorker): void {
    if (message.type === "file_task_done") this.#waiting.get(message.id)?.(message);
  }

  /** Whoever waits is told that the node stops. */
  stop(): void {
    this.#stopped = true;
    for (const resolve of [...this.#waiting.values()]) resolve(undefined);
  }
}

function stopping(): DatabaseError {
  return new DatabaseError("SHUTTING_DOWN", "The node stops");
}
