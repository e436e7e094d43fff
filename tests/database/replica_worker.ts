/** Runs statements in a session of its own thread, as a worker of `replica_threads_test.ts`. */
import { openLibrary } from "../../ffi/open.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { Connection } from "../../lib/database/connection.ts";

/** A job for the thread. */
export interface Task {
  readonly libraryPath: string;
  readonly databasePath: string;
  readonly sql: string;
  readonly repeat: number;
}

/** What the thread says: that it is about to run, then how that ended. */
export type Progress =
  | { readonly type: "begun" }
  | { readonly type: "done"; readonly seq: number }
  | { readonly type: "failed"; readonly wireCode: string };

const scope = globalThis as unknown as {
  onmessage: (event: { data: Task }) => void;
  postMessage: (message: Progress) => void;
};

scope.onmessage = ({ data }) => void run(data);

async function run(task: Task): Promise<void> {
  const library = await openLibrary(task.libraryPath);
  using session = Connection.open(library, task.databasePath, { role: "session" });
  scope.postMessage({ type: "begun" });
  try {
    let seq = 0;
    for (let i = 0; i < task.repeat;) {
      try {
        seq = session.prepare(task.sql).statement!.run().seq;
        i++;
      } catch (error) {
        // The threads of the test have no queue for the write lock.
        if (!(error instanceof DatabaseError) || error.sqliteName !== "SQLITE_BUSY") throw error;
      }
    }
    scope.postMessage({ type: "done", seq });
  } catch (error) {
    const wireCode = error instanceof DatabaseError ? error.wireCode : String(error);
    scope.postMessage({ type: "failed", wireCode });
  }
}
