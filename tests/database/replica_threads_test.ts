import { expect, test } from "bun:test";
import { ReplicaHandle } from "../../lib/database/replica_handle.ts";
import { Folder, library } from "./fixture.ts";
import type { Progress, Task } from "./replica_worker.ts";

/** A session in a thread of its own. */
class Thread implements Disposable {
  readonly begun: Promise<void>;
  readonly ended: Promise<Progress>;
  readonly #worker = new Worker(new URL("./replica_worker.ts", import.meta.url).href);

  constructor(databasePath: string, sql: string, repeat = 1) {
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Progress>();
    this.begun = begun.promise;
    this.ended = ended.promise;
    this.#worker.onmessage = ({ data }: { data: Progress }) => {
      if (data.type === "begun") begun.resolve();
      else ended.resolve(data);
    };
    this.#worker.onerror = (event) => ended.reject(new Error(event.message));
    const task: Task = { libraryPath: library.path, databasePath, sql, repeat };
    this.#worker.postMessage(task);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

test("what sessions commit in several threads is captured by the handle in another", async () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  handle.leader();
  const here = folder.connect({ role: "session" });
  here.exec("CREATE TABLE t (a)");
  using first = new Thread(handle.path, "INSERT INTO t VALUES (1)", 200);
  using second = new Thread(handle.path, "INSERT INTO t VALUES (2)", 300);
  const ends = await Promise.all([first.ended, second.ended]);
  expect(ends.map(({ type }) => type)).toEqual(["done", "done"]);
  expect(handle.seq()).toBe(501);
  expect(here.seq()).toBe(501);
  const last = Math.max(...ends.map((end) => end.type === "done" ? end.seq : 0));
  expect(last).toBe(501);
  const drained = handle.drain(new Uint8Array(1024 * 1024))!;
  expect([drained.seq, drained.complete]).toEqual([501, true]);
  const counts = here.prepare("SELECT a, count(*) FROM t GROUP BY a ORDER BY a").statement!.run();
  expect(counts.rows.decode()).toEqual([[1n, 200n], [2n, 300n]]);
});

test("a query in another thread is interrupted through the handle", async () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  const endless = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT sum(n) FROM s";
  using thread = new Thread(handle.path, endless);
  await thread.begun;
  // An interrupt that comes before the statement has begun is lost, so it is repeated.
  const repeated = setInterval(() => handle.interruptSessions(), 1);
  try {
    expect(await thread.ended).toEqual({ type: "failed", wireCode: "SQLITE_INTERRUPT" });
  } finally {
    clearInterval(repeated);
  }
});

test("a session in another thread cannot write once the node follows", async () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  handle.leader();
  folder.connect({ role: "session" }).exec("CREATE TABLE t (a)");
  handle.follower();
  using thread = new Thread(handle.path, "INSERT INTO t VALUES (1)");
  expect(await thread.ended).toEqual({ type: "failed", wireCode: "NOT_LEADER" });
});
