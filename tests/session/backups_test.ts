import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { BACKUP_STALL_MS, BACKUP_WAL_FRAMES_MAX, BACKUPS_MAX } from "../../lib/base/limits.ts";
import { Connection } from "../../lib/database/connection.ts";
import { sha256 } from "../../lib/io/hash.ts";
import type { Replica } from "../../lib/replica/replica.ts";
import { type Backup, Backups } from "../../lib/session/backups.ts";
import { Executor } from "../../lib/session/executor.ts";
import type { Maintenance } from "../../lib/session/maintenance.ts";
import { packFromWorker, unpack } from "../../lib/session/worker_codec.ts";
import type { ToWorker } from "../../lib/session/worker_messages.ts";
import { WorkerPool } from "../../lib/session/worker_pool.ts";
import { ManualClock } from "./manual_clock.ts";

const library = await openLibrary();

/** Backups of a file, with executors in this thread. */
class Fixture implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "dqlite-backups-"));
  readonly path = join(this.folder, "main.db");
  readonly clock = new ManualClock();
  readonly backups: Backups;
  readonly writer: Connection;
  readonly executors: Executor[] = [];
  /** Whether the leader answers. */
  confirmed = true;

  constructor() {
    this.writer = Connection.open(library, this.path, { role: "plain" });
    this.writer.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
    this.writer.exec("INSERT INTO t VALUES (randomblob(1000000))");
    const pool = new WorkerPool((onMessage) => {
      const executor = new Executor({
        library,
        databasePath: this.path,
        nowMs: () => 0,
        post: (message) => onMessage(packFromWorker(message)),
        sha256,
      });
      this.executors.push(executor);
      return {
        post: (data) => {
          const message = unpack<ToWorker>(data);
          if (message.type !== "setup") executor.handle(message);
        },
        terminate: () => {},
      };
    }, {
      setup: { libraryPath: "", databasePath: this.path },
      clock: this.clock,
      events: { onMessage: () => {}, onError: () => {} },
    });
    this.backups = new Backups({
      replica: {
        mode: "following",
        followsData: true,
        linearize: (_options: unknown, callback: (index: number | undefined) => void) =>
          this.confirmed ? callback(7) : undefined,
        whenApplied: (_index: number, callback: () => void) => callback(),
      } as unknown as Replica,
      maintenance: {
        standStill: () => Promise.resolve({ index: 7, resume: () => {} }),
      } as unknown as Maintenance,
      pool,
      clock: this.clock,
      leaderUrl: () => undefined,
    });
  }

  [Symbol.dispose](): void {
    for (const executor of this.executors) executor.handle({ type: "stop" });
    this.writer.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function rest(backup: Backup): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const part = await backup.next();
    if (part.type === "end") return Buffer.concat(parts);
    parts.push(part.bytes);
  }
}

test("a backup shows the moment it began, whatever is written meanwhile", async () => {
  using fixture = new Fixture();
  const backup = await fixture.backups.begin();
  expect(backup.index).toBe(7);
  fixture.writer.exec("INSERT INTO t VALUES (randomblob(1000000))");
  const bytes = await rest(backup);
  expect(bytes.length).toBe(backup.pages * backup.pageSizeBytes);
  await Bun.write(join(fixture.folder, "copy.db"), bytes);
  using copy = Connection.open(library, join(fixture.folder, "copy.db"), { role: "readonly" });
  const { rows } = copy.prepare("SELECT count(*) FROM t").statement!.run();
  expect(rows.decode()).toEqual([[1n]]);
});

test("a backup of which nothing is taken for too long is ended, and makes room", async () => {
  using fixture = new Fixture();
  const held = await Promise.all(
    Array.from({ length: BACKUPS_MAX }, () => fixture.backups.begin()),
  );
  await expect(fixture.backups.begin()).rejects.toMatchObject({ code: "BUSY" });
  fixture.clock.pass(BACKUP_STALL_MS - 1);
  await held[0]!.next();
  fixture.clock.pass(1);
  // All but the one that was taken from.
  await expect(held[1]!.next()).rejects.toMatchObject({ code: "CLOSED" });
  expect((await held[0]!.next()).type).toBe("pages");
  const again = await fixture.backups.begin();
  again.end();
  again.end();
  for (const backup of held) backup.end();
});

test("a node that cannot confirm that it is up to date gives no backup", async () => {
  using fixture = new Fixture();
  fixture.confirmed = false;
  const begun = fixture.backups.begin();
  begun.catch(() => {});
  fixture.clock.pass(60_000);
  await expect(begun).rejects.toMatchObject({ code: "NO_LEADER" });
  // Unless it is told that what it has will do.
  (await fixture.backups.begin({ stale: true })).end();
  fixture.confirmed = true;
  (await fixture.backups.begin()).end();
});

test("a backup whose database is taken away ends by an error", async () => {
  using fixture = new Fixture();
  const backup = await fixture.backups.begin();
  await backup.next();
  for (const executor of fixture.executors) executor.handle({ type: "reset" });
  await expect(backup.next()).rejects.toMatchObject({ code: "NOT_LEADER" });
});

test("a backup is among the readers of the WAL, and says why it was ended", async () => {
  using fixture = new Fixture();
  const { backups, clock } = fixture;
  clock.pass(5);
  const backup = await backups.begin();
  const [reader] = backups.readers();
  expect(reader).toMatchObject({ sinceMs: 5, walFramesMax: BACKUP_WAL_FRAMES_MAX });
  expect((await backup.next()).type).toBe("pages");
  reader!.end(new DatabaseError("TRANSACTION_TIMEOUT", "too much was written"));
  expect(backups.readers()).toEqual([]);
  await expect(backup.next()).rejects.toMatchObject({ code: "TRANSACTION_TIMEOUT" });
  const whole = await backups.begin();
  await rest(whole);
  expect(backups.readers()).toEqual([]);
});
