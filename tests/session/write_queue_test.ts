import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { WRITE_BATCH_MAX, WRITE_QUEUE_MAX } from "../../lib/base/limits.ts";
import { WriteQueue, type Writer } from "../../lib/session/write_queue.ts";

interface Named extends Writer {
  readonly name: string;
}

function queueOf(mayWrite: () => boolean = () => true) {
  const grants: string[][] = [];
  const refused: string[] = [];
  const queue = new WriteQueue<Named>(mayWrite, (writers) => {
    grants.push(writers.map(({ name }) => name));
  });
  const join = (name: string, shared: boolean, deadlineMs = 1000) => {
    const refuse = (error: DatabaseError) => void refused.push(`${name} ${error.code}`);
    const writer = { name, shared, deadlineMs, refuse };
    queue.join(writer);
    return writer;
  };
  return { queue, grants, refused, join };
}

test("one writes at a time, in the order they came", () => {
  const { queue, grants, join } = queueOf();
  join("a", false);
  join("b", false);
  join("c", false);
  expect(grants).toEqual([["a"]]);
  queue.release();
  queue.release();
  expect(grants).toEqual([["a"], ["b"], ["c"]]);
});

test("one-shot writes that stand next to each other share a turn", () => {
  const { queue, grants, join } = queueOf();
  join("transaction", false);
  for (const name of ["x", "y"]) join(name, true);
  join("another transaction", false);
  join("z", true);
  queue.release();
  queue.release();
  queue.release();
  expect(grants).toEqual([["transaction"], ["x", "y"], ["another transaction"], ["z"]]);
});

test("a shared turn is bounded", () => {
  const { queue, grants, join } = queueOf();
  join("first", false);
  for (let i = 0; i < WRITE_BATCH_MAX + 5; i++) join(`${i}`, true);
  queue.release();
  expect(grants[1]).toHaveLength(WRITE_BATCH_MAX);
});

test("nobody gets a turn while the node cannot write", () => {
  let may = false;
  const { queue, grants, join } = queueOf(() => may);
  join("a", false);
  expect(grants).toEqual([]);
  may = true;
  queue.next();
  expect(grants).toEqual([["a"]]);
});

test("who waits too long is told that the database is locked", () => {
  const { queue, refused, join } = queueOf();
  join("holder", false);
  join("patient", false, 500);
  join("impatient", false, 100);
  queue.expire(200);
  expect(refused).toEqual(["impatient TRANSACTION_BUSY"]);
});

test("who left is not granted a turn", () => {
  const { queue, grants, join } = queueOf();
  join("holder", false);
  const gone = join("gone", false);
  join("next", false);
  queue.leave(gone);
  queue.release();
  expect(grants).toEqual([["holder"], ["next"]]);
});

test("a queue beyond its bound refuses, and keeps those it has", () => {
  const { queue, refused, join } = queueOf();
  join("holder", false);
  for (let i = 0; i < WRITE_QUEUE_MAX; i++) join("waiting", false);
  join("late", false);
  expect(refused).toEqual(["late BUSY"]);
  expect(queue.waiting).toBe(WRITE_QUEUE_MAX);
});

test("when leadership is lost everyone is refused and the turn is free", () => {
  const { queue, grants, refused, join } = queueOf();
  join("holder", false);
  join("waiting", true);
  queue.clear(new DatabaseError("NOT_LEADER", "lost"));
  expect(refused).toEqual(["waiting NOT_LEADER"]);
  join("new", false);
  expect(grants).toEqual([["holder"], ["new"]]);
});

test("those that are picked are refused, the others keep their place", () => {
  const { queue, grants, refused, join } = queueOf();
  join("first", false);
  for (const name of ["write 1", "checkpoint", "write 2"]) join(name, false);
  const error = new DatabaseError("DISK_FULL", "The disk is full");
  queue.refuse(error, ({ name }) => name.startsWith("write"));
  expect(refused).toEqual(["write 1 DISK_FULL", "write 2 DISK_FULL"]);
  queue.release();
  expect(grants).toEqual([["first"], ["checkpoint"]]);
});
