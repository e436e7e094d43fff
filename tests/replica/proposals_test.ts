import { expect, test } from "bun:test";
import type { DatabaseProgress } from "../../lib/replica/database_progress.ts";
import { DatabaseProgress as Progress } from "../../lib/replica/database_progress.ts";
import { Proposals } from "../../lib/replica/proposals.ts";

/** What a call visited: the last transaction of each database. */
function committed(proposals: Proposals, index: number): [id: number, seq: number][] {
  const visited: [number, number][] = [];
  proposals.commit(index, ({ id, committedSeq }) => visited.push([id, committedSeq]));
  return visited;
}

function released(proposals: Proposals, index: number): [id: number, seq: number][] {
  const visited: [number, number][] = [];
  proposals.release(index, ({ id }: DatabaseProgress, seq) => visited.push([id, seq]));
  return visited;
}

test("a commit index tells up to which transaction everything is committed", () => {
  const proposals = new Proposals();
  const main = new Progress(1, 10);
  proposals.push(4, main, 12);
  proposals.push(7, main, 15);
  expect(committed(proposals, 3)).toEqual([]);
  expect(committed(proposals, 6)).toEqual([[1, 12]]);
  expect(committed(proposals, 7)).toEqual([[1, 15]]);
});

test("a transaction is released only when it is committed and durable here", () => {
  const proposals = new Proposals();
  const main = new Progress(1, 0);
  proposals.push(1, main, 1);
  proposals.push(2, main, 2);
  committed(proposals, 1);
  expect(released(proposals, 2)).toEqual([[1, 1]]);
  committed(proposals, 2);
  expect(released(proposals, 1)).toEqual([]);
  expect(released(proposals, 2)).toEqual([[1, 2]]);
});

test("transactions of several databases are counted apart", () => {
  const proposals = new Proposals();
  const [main, other] = [new Progress(1, 5), new Progress(2, 0)];
  proposals.push(3, main, 6);
  proposals.push(4, other, 1);
  proposals.push(5, main, 8);
  proposals.push(9, other, 2);
  expect(committed(proposals, 5)).toEqual([[1, 8], [2, 1]]);
  expect(released(proposals, 4)).toEqual([[1, 6], [2, 1]]);
  expect(released(proposals, 9)).toEqual([[1, 8]]);
  expect([main.committedSeq, other.committedSeq]).toEqual([8, 1]);
});

test("entries and transactions are proposed in order", () => {
  const proposals = new Proposals();
  const main = new Progress(1, 3);
  proposals.push(5, main, 4);
  expect(() => proposals.push(5, main, 5)).toThrow("out of order");
  expect(() => proposals.push(6, main, 4)).toThrow("transaction 4 after 4");
});

test("a new leadership starts from the last transaction before it", () => {
  const proposals = new Proposals();
  const main = new Progress(1, 0);
  proposals.push(1, main, 9);
  proposals.reset();
  main.reset(20);
  expect(committed(proposals, 100)).toEqual([]);
  expect(main.committedSeq).toBe(20);
});

test("thousands of proposals are forgotten as they are released", () => {
  const proposals = new Proposals();
  const main = new Progress(1, 0);
  for (let i = 1; i <= 10_000; i++) {
    proposals.push(i, main, i);
    expect(committed(proposals, i)).toEqual([[1, i]]);
    expect(released(proposals, i - 1)).toEqual(i === 1 ? [] : [[1, i - 1]]);
  }
});
