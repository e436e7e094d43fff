import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import { CHECKPOINT_PAUSED_FRAMES } from "../../lib/base/limits.ts";
import { Connection } from "../../lib/database/connection.ts";
import { createDatabaseImage } from "../../lib/database/create.ts";
import { ReplicaHandle } from "../../lib/database/replica_handle.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { sha256 } from "../../lib/io/hash.ts";
import type { Replica } from "../../lib/replica/replica.ts";
import { databasePath } from "../../lib/replica/database_paths.ts";
import { SqliteMachine } from "../../lib/replica/sqlite_machine.ts";
import { Executor } from "../../lib/session/executor.ts";
import { Maintenance } from "../../lib/session/maintenance.ts";
import type { SessionManager } from "../../lib/session/session_manager.ts";
import { packFromWorker, unpack } from "../../lib/session/worker_codec.ts";
import type { ToWorker } from "../../lib/session/worker_messages.ts";
import { WorkerPool } from "../../lib/session/worker_pool.ts";
import { systemClock } from "../../lib/io/clock.ts";
import { encodeCreate, MAIN_DATABASE_ID } from "../../lib/wire/command.ts";

const library = await openLibrary();

/** Maintenance of a follower that applied one transaction, with executors in this thread. */
class Fixture implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "dqlite-maintenance-"));
  readonly path = databasePath(this.folder);
  readonly fatal: Error[] = [];
  /** Frames that were left to copy whenever everybody had to wait. */
  readonly leftAtPauses: number[] = [];
  /** How often writers were let go on. */
  released = 0;
  readonly machine: SqliteMachine;
  readonly maintenance: Maintenance;
  readonly #pool: WorkerPool;
  readonly #executors: Executor[] = [];

  /** @param mode As the leader, nothing is ever committed. */
  constructor(mode: "following" | "leading" = "following") {
    this.machine = new SqliteMachine({
      disk: new NodeDisk(),
      folder: this.folder,
      openHandle: (path) => ReplicaHandle.open(library, path),
    });
    const creation = encodeCreate(MAIN_DATABASE_ID, "main", createDatabaseImage(library));
    this.machine.apply(1, creation, () => undefined);
    this.write("CREATE TABLE t (a)");
    this.#pool = this.#newPool();
    this.maintenance = new Maintenance({
      replica: {
        mode,
        readable: true,
        settledIndex: 2,
        whenCommitted: () => {},
        pauseApply: () => {
          this.leftAtPauses.push(this.machine.uncopiedFrames());
          return () => {};
        },
      } as unknown as Replica,
      machine: this.machine,
      sessions: {
        whileNobodyWrites: (run: (release: () => void) => void) => run(() => this.released++),
      } as unknown as SessionManager,
      pool: this.#pool,
      clock: systemClock,
      onFatal: (error) => void this.fatal.push(error),
    });
  }

  [Symbol.dispose](): void {
    for (const executor of this.#executors) executor.handle({ type: "stop" });
    this.machine.closeAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** As the leader, and committed at once. */
  write(sql: string): void {
    this.machine.lead();
    using connection = Connection.open(library, this.path, { role: "session" });
    connection.exec(sql);
    this.machine.captured();
    while (this.machine.drain() !== undefined);
    this.machine.release(MAIN_DATABASE_ID, this.machine.lastSeq(), 1);
    this.machine.follow();
  }

  /** As the leader, without anybody to commit it. */
  writeInVain(sql: string): void {
    this.machine.lead();
    using connection = Connection.open(library, this.path, { role: "session" });
    connection.exec(sql);
    while (this.machine.drain() !== undefined);
  }

  #newPool(): WorkerPool {
    return new WorkerPool((onMessage) => {
      const executor = new Executor({
        library,
        databasePath: this.path,
        nowMs: () => 0,
        post: (message) => onMessage(packFromWorker(message)),
        sha256,
      });
      this.#executors.push(executor);
      return {
        post: (data) => {
          const message = unpack<ToWorker>(data);
          if (message.type !== "setup") executor.handle(message);
        },
        terminate: () => {},
      };
    }, {
      setup: { libraryPath: "", databasePath: this.path },
      clock: systemClock,
      events: {
        onMessage: (_worker, message) => this.maintenance.receive(message),
        onError: (error) => void this.fatal.push(error),
      },
    });
  }
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return String(error);
  }
}

test("a checkpoint is recorded once the file is complete", async () => {
  using fixture = new Fixture();
  expect((await fixture.maintenance.checkpoint()).index).toBe(2);
  expect(fixture.machine.checkpointIndex).toBe(2);
  expect(fixture.fatal).toEqual([]);
});

test("a checkpoint in which the system fails ends the node and counts for nothing", async () => {
  using fixture = new Fixture();
  truncateSync(`${fixture.path}-wal`, 0);
  expect(await failureOf(fixture.maintenance.checkpoint())).toContain("SQLITE_IOERR");
  expect(fixture.fatal.length).toBe(1);
  expect(fixture.machine.checkpointIndex).toBe(1);
  expect(fixture.machine.consistentIndex).toBe(2);
});

test("a reader in the way of a checkpoint does not end the node", async () => {
  using fixture = new Fixture();
  using reader = Connection.open(library, fixture.path, { role: "session" });
  reader.exec("BEGIN; SELECT count(*) FROM t");
  fixture.write("INSERT INTO t VALUES (1)");
  expect(await failureOf(fixture.maintenance.checkpoint())).toContain("a reader is in the way");
  expect(fixture.fatal).toEqual([]);
  reader.exec("COMMIT");
  expect((await fixture.maintenance.checkpoint()).index).toBe(2);
});

test("most of a checkpoint is copied before anybody waits", async () => {
  using fixture = new Fixture();
  fixture.write(
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) " +
      "INSERT INTO t SELECT randomblob(3000) FROM n",
  );
  expect(fixture.machine.uncopiedFrames()).toBeGreaterThan(CHECKPOINT_PAUSED_FRAMES);
  const { index, walFrames } = await fixture.maintenance.checkpoint();
  expect(index).toBe(2);
  expect(walFrames).toBeGreaterThan(600);
  expect(fixture.leftAtPauses).toEqual([0]);
  expect(fixture.machine.uncopiedFrames()).toBe(0);
  expect(fixture.maintenance.heldWals.size).toBe(0);
});

test("when a reader is in the way of the larger part, nobody waits for nothing", async () => {
  using fixture = new Fixture();
  using reader = Connection.open(library, fixture.path, { role: "session" });
  reader.exec("BEGIN; SELECT count(*) FROM t");
  fixture.write(
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) " +
      "INSERT INTO t SELECT randomblob(3000) FROM n",
  );
  expect(await failureOf(fixture.maintenance.checkpoint())).toContain("a reader is in the way");
  expect(fixture.leftAtPauses).toEqual([]);
  expect(fixture.maintenance.heldWals.has(MAIN_DATABASE_ID)).toBe(true);
  expect(fixture.machine.checkpointIndex).toBe(1);
  reader.exec("COMMIT");
  await fixture.maintenance.checkpoint();
  expect(fixture.machine.checkpointIndex).toBe(2);
  expect(fixture.maintenance.heldWals.size).toBe(0);
});

test("what nobody commits does not keep a checkpoint from what is committed", async () => {
  using fixture = new Fixture("leading");
  fixture.writeInVain("INSERT INTO t VALUES (1)");
  expect((await fixture.maintenance.checkpoint()).index).toBe(2);
  expect([fixture.machine.checkpointIndex, fixture.released]).toEqual([2, 1]);
  expect(fixture.maintenance.heldWals.size).toBe(0);
  using file = Connection.open(library, fixture.path, { role: "immutable" });
  const { statement } = file.prepare("SELECT count(*) FROM t");
  expect(statement!.run().rows.decode()).toEqual([[0n]]);
});

test("a reader that keeps the WAL from beginning anew is noticed", async () => {
  using fixture = new Fixture();
  using reader = Connection.open(library, fixture.path, { role: "session" });
  reader.exec("BEGIN; SELECT count(*) FROM t");
  // Everything that it sees is what is copied.
  await fixture.maintenance.checkpoint();
  expect(fixture.machine.checkpointIndex).toBe(2);
  expect(fixture.maintenance.heldWals.has(MAIN_DATABASE_ID)).toBe(true);
});
