import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { RESTORE_STALL_MS, RESTORE_WAIT_MS } from "../../lib/base/limits.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import type { Replica } from "../../lib/replica/replica.ts";
import { Restores } from "../../lib/session/restores.ts";
import type { SessionManager } from "../../lib/session/session_manager.ts";
import type { FromWorker, ToWorker } from "../../lib/session/worker_messages.ts";
import type { WorkerPool } from "../../lib/session/worker_pool.ts";
import { ManualClock } from "./manual_clock.ts";

const PAGE = 512;
const REQUEST = { pages: 4, pageSizeBytes: PAGE, force: true };
const FILE = "/data/restore.db";

/** Restores of a node whose worker, write turn and log answer as the test says. */
class Fixture {
  readonly clock = new ManualClock();
  readonly disk = new MemoryDisk();
  readonly restores: Restores;
  /** What the worker was asked and did not answer yet. */
  readonly asked: ToWorker[] = [];
  mode = "leading";
  held = false;
  /** What becomes of the transaction. */
  committed: DatabaseError | undefined;
  #ids = 0;
  #tell: (message: FromWorker) => void = () => {};

  constructor() {
    this.disk.createFolder("/data");
    const mode = () => this.mode;
    this.restores = new Restores({
      replica: {
        get mode() {
          return mode();
        },
        spaceRefusal: undefined,
        appliedIndex: 12,
        captured: () => {},
        whenCommitted: (_seq: number, callback: (error?: DatabaseError) => void) =>
          callback(this.committed),
      } as unknown as Replica,
      sessions: {
        whileNobodyWrites: (run: (release: () => void) => void) => {
          this.held = true;
          run(() => void (this.held = false));
        },
      } as unknown as SessionManager,
      pool: {
        listen: (tell: (message: FromWorker) => void) => void (this.#tell = tell),
        pick: () => 1,
        finished: () => {},
        post: (_worker: number, message: ToWorker) => void this.asked.push(message),
      } as unknown as WorkerPool,
      clock: this.clock,
      disk: this.disk,
      folder: "/data",
      randomToken: () => `restore ${++this.#ids}`,
    });
  }

  /** Begins a restore, and sends all of its file. */
  send(): string {
    const id = this.restores.begin(REQUEST);
    for (let at = 0; at < 4; at++) this.restores.part(id, at * PAGE, new Uint8Array(PAGE).fill(at));
    return id;
  }

  /** Answers the worker's next question. */
  async answer(error?: DatabaseError): Promise<void> {
    while (this.asked.length === 0) await Promise.resolve();
    const question = this.asked.shift()!;
    const plain = error === undefined
      ? undefined
      : { code: error.code, message: error.message, outcome: error.outcome, hint: undefined };
    if (question.type === "restore_check") {
      this.#tell({ type: "restore_checked", id: question.id, error: plain });
    } else if (question.type === "restore") {
      expect(this.held).toBe(true);
      this.#tell({ type: "restore_done", id: question.id, seq: 5, error: plain });
    } else throw new Error(`asked for ${question.type}`);
  }
}

test("a file takes effect once it is verified, and its end can be asked for again", async () => {
  const fixture = new Fixture();
  const id = fixture.send();
  expect(fixture.disk.exists(FILE)).toBe(true);
  const first = fixture.restores.commit(id);
  const second = fixture.restores.commit(id);
  await fixture.answer();
  await fixture.answer();
  expect(await first).toEqual({ done: true, index: 12 });
  expect(await second).toEqual({ done: true, index: 12 });
  expect(await fixture.restores.commit(id)).toEqual({ done: true, index: 12 });
  expect(fixture.asked).toEqual([]);
  expect([fixture.held, fixture.disk.exists(FILE)]).toEqual([false, false]);
});

test("one that takes long is told to go on, and is asked for again", async () => {
  const fixture = new Fixture();
  const id = fixture.send();
  const first = fixture.restores.commit(id);
  fixture.clock.pass(RESTORE_WAIT_MS);
  expect(await first).toEqual({ done: false, index: 0 });
  // It does not count as one that stands still.
  fixture.clock.pass(10 * RESTORE_STALL_MS);
  const second = fixture.restores.commit(id);
  await fixture.answer();
  await fixture.answer();
  expect(await second).toEqual({ done: true, index: 12 });
});

test("a file that is refused leaves nothing, and makes room for the next", async () => {
  const fixture = new Fixture();
  const id = fixture.send();
  const committed = fixture.restores.commit(id);
  await fixture.answer(new DatabaseError("CORRUPT", "damaged"));
  await expect(committed).rejects.toMatchObject({ code: "CORRUPT", outcome: "rejected" });
  await expect(fixture.restores.commit(id)).rejects.toMatchObject({ code: "CORRUPT" });
  expect([fixture.held, fixture.disk.exists(FILE)]).toEqual([false, false]);
  fixture.restores.abort(fixture.restores.begin(REQUEST));
  expect(fixture.disk.exists(FILE)).toBe(false);
});

test("what became of it when leadership is lost is not known after the commit only", async () => {
  const fixture = new Fixture();
  fixture.committed = new DatabaseError("LEADERSHIP_LOST", "lost");
  const id = fixture.send();
  const committed = fixture.restores.commit(id);
  await fixture.answer();
  await fixture.answer();
  fixture.mode = "following";
  await expect(committed).rejects.toMatchObject({ outcome: "unknown" });
  // Who asks again, at the same node, learns the same.
  await expect(fixture.restores.commit(id)).rejects.toMatchObject({ outcome: "unknown" });

  const before = new Fixture();
  const early = before.restores.commit(before.send());
  await before.answer();
  await before.answer(new DatabaseError("SQLITE", "interrupted"));
  await expect(early).rejects.toMatchObject({ code: "NOT_LEADER", outcome: "rejected" });
});

test("a restore that stands still is given up", () => {
  const fixture = new Fixture();
  const id = fixture.restores.begin(REQUEST);
  expect(() => fixture.restores.begin(REQUEST)).toThrow("Another restore is under way");
  fixture.clock.pass(RESTORE_STALL_MS - 1);
  fixture.restores.part(id, 0, new Uint8Array(PAGE));
  fixture.clock.pass(RESTORE_STALL_MS - 1);
  fixture.restores.part(id, PAGE, new Uint8Array(PAGE));
  fixture.clock.pass(RESTORE_STALL_MS);
  expect(fixture.disk.exists(FILE)).toBe(false);
  expect(() => fixture.restores.part(id, 2 * PAGE, new Uint8Array(PAGE)))
    .toThrow("knows nothing of this restore");
  fixture.restores.begin(REQUEST);
});

test("a disk without space for a restore refuses it before it hurts, or in the middle", () => {
  const fixture = new Fixture();
  fixture.disk.free = 1_000_000;
  expect(() => fixture.restores.begin(REQUEST)).toThrow("bytes of disk space");
  fixture.disk.free = Infinity;
  fixture.disk.capacityBytes = 2 * PAGE;
  const id = fixture.restores.begin(REQUEST);
  fixture.restores.part(id, 0, new Uint8Array(2 * PAGE));
  expect(() => fixture.restores.part(id, 2 * PAGE, new Uint8Array(PAGE)))
    .toThrow(expect.objectContaining({ code: "DISK_FULL", outcome: "rejected" }));
  expect(fixture.disk.exists(FILE)).toBe(false);
});

test("what a killed node had put aside is removed, and only a leader takes a file", () => {
  const fixture = new Fixture();
  const id = fixture.send();
  fixture.mode = "following";
  expect(() => fixture.restores.begin(REQUEST)).toThrow("does not lead");
  expect(() => fixture.restores.part(id, 0, new Uint8Array(PAGE))).toThrow("does not lead");
  const { clock, disk } = fixture;
  new Restores({
    replica: {} as Replica,
    sessions: {} as SessionManager,
    pool: { listen: () => {} } as unknown as WorkerPool,
    clock,
    disk,
    folder: "/data",
    randomToken: () => "",
  });
  expect(fixture.disk.exists(FILE)).toBe(false);
});
