import { expect, test } from "bun:test";
import type { Pending } from "../../lib/session/pending.ts";
import type { JobResult } from "../../lib/session/worker_messages.ts";
import { WriteTurns } from "../../lib/session/write_turns.ts";

function turns() {
  const granted: string[] = [];
  const made = new WriteTurns({
    mayWrite: () => true,
    onOneShots: (pendings, grant) =>
      void granted.push(`grant ${grant}: ${pendings.map(({ job }) => job.id).join(" ")}`),
    onStatement: ({ job }) => void granted.push(`job ${job.id}`),
  });
  return { turns: made, granted };
}

function pending(id: number, streamId?: number): Pending {
  return { job: { id, streamId, requests: [], writable: true } } as unknown as Pending;
}

function result(id: number, state: Partial<JobResult> = {}): JobResult {
  const nothing = { results: [], refused: undefined, seq: 0, captured: false };
  return { id, ...nothing, open: false, inTransaction: false, ...state };
}

const refuse = () => {};

test("an open transaction keeps the turn between its pipelines", () => {
  const { turns: made, granted } = turns();
  made.joinStatement(pending(1, 7), 100, refuse);
  made.joinOneShot(pending(2), 100, refuse);
  made.finished(result(1, { open: true, inTransaction: true }), 7);
  expect(made.isHeldByStream(7)).toBe(true);
  expect(granted).toEqual(["job 1"]);
  made.finished(result(3, { open: true, inTransaction: false }), 7);
  expect(granted).toEqual(["job 1", "grant 1: 2"]);
});

test("a stream that is closed gives the turn back once its transaction is rolled back", () => {
  const { turns: made, granted } = turns();
  made.joinStatement(pending(1, 7), 100, refuse);
  made.finished(result(1, { open: true, inTransaction: true }), 7);
  made.joinOneShot(pending(2), 100, refuse);
  made.releaseStream(8);
  expect(granted).toHaveLength(1);
  made.releaseStream(7);
  expect(granted).toEqual(["job 1", "grant 1: 2"]);
});

test("a job that was given up while it held the turn does not keep it", () => {
  const { turns: made, granted } = turns();
  made.joinStatement(pending(1, 7), 100, refuse);
  made.joinOneShot(pending(2), 100, refuse);
  made.finished(result(1, { open: true, inTransaction: true }), undefined);
  expect(granted).toEqual(["job 1", "grant 1: 2"]);
});

test("a job that is done before its turn came leaves the queue", () => {
  const { turns: made, granted } = turns();
  made.joinOneShot(pending(1), 100, refuse);
  made.joinStatement(pending(2, 7), 100, refuse);
  made.finished(result(2), 7);
  made.releaseGrant(1);
  made.joinOneShot(pending(3), 100, refuse);
  expect(granted).toEqual(["grant 1: 1", "grant 2: 3"]);
});

test("a late release of an earlier turn does not take the turn of another", () => {
  const { turns: made, granted } = turns();
  let release = () => {};
  made.joinInternal((give) => void (release = give), 100, refuse);
  made.joinOneShot(pending(1), 100, refuse);
  release();
  release();
  made.joinOneShot(pending(2), 100, refuse);
  expect(granted).toEqual(["grant 1: 1"]);
  made.releaseGrant(1);
  expect(granted).toEqual(["grant 1: 1", "grant 2: 2"]);
});

test("who comes next shares the turn of one-shot requests, but not from behind others", () => {
  const { turns: made, granted } = turns();
  for (const id of [1, 2, 3]) made.joinOneShot(pending(id), 100, refuse);
  made.joinStatement(pending(4), 100, refuse);
  made.joinOneShot(pending(5), 100, refuse);
  expect(made.share(1).map(({ job }) => job.id)).toEqual([2, 3]);
  expect(made.share(1)).toEqual([]);
  made.releaseGrant(1);
  expect(granted).toEqual(["grant 1: 1", "job 4"]);
  // The turn is another one's now.
  expect(made.share(1)).toEqual([]);
  made.finished(result(4), undefined);
  expect(granted).toEqual(["grant 1: 1", "job 4", "grant 2: 5"]);
});
