import { expect, test } from "bun:test";
import { Proposals } from "../../lib/replica/proposals.ts";

test("a commit index tells up to which transaction everything is committed", () => {
  const proposals = new Proposals();
  proposals.reset(10);
  proposals.push(4, 12);
  proposals.push(7, 15);
  expect(proposals.commit(3)).toBe(10);
  expect(proposals.commit(6)).toBe(12);
  expect(proposals.commit(7)).toBe(15);
});

test("a transaction is released only when it is committed and durable here", () => {
  const proposals = new Proposals();
  proposals.reset(0);
  proposals.push(1, 1);
  proposals.push(2, 2);
  proposals.commit(1);
  expect(proposals.release(2)).toBe(1);
  proposals.commit(2);
  expect(proposals.release(1)).toBe(1);
  expect(proposals.release(2)).toBe(2);
});

test("entries and transactions are proposed in order", () => {
  const proposals = new Proposals();
  proposals.reset(3);
  proposals.push(5, 4);
  expect(() => proposals.push(5, 5)).toThrow("out of order");
  expect(() => proposals.push(6, 4)).toThrow("transaction 4 after 4");
});

test("a new leadership starts from the last transaction before it", () => {
  const proposals = new Proposals();
  proposals.reset(0);
  proposals.push(1, 9);
  proposals.reset(20);
  expect(proposals.commit(100)).toBe(20);
  expect(proposals.lastSeq).toBe(20);
});

test("thousands of proposals are forgotten as they are released", () => {
  const proposals = new Proposals();
  proposals.reset(0);
  for (let i = 1; i <= 10_000; i++) {
    proposals.push(i, i);
    expect(proposals.commit(i)).toBe(i);
    expect(proposals.release(i - 1)).toBe(i - 1);
  }
});
