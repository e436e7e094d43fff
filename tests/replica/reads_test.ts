import { expect, test } from "bun:test";
import { type ReadCallback, Reads } from "../../lib/replica/reads.ts";

function asked() {
  let ticket = 0;
  const reads = new Reads(() => ++ticket);
  const answers: (number | undefined)[] = [];
  const note: ReadCallback = (index) => answers.push(index);
  return { reads, answers, note, lastTicket: () => ticket };
}

test("a read is answered with the index of its ticket", () => {
  const { reads, answers, note } = asked();
  reads.read(0, { deadlineMs: 1000, retry: true }, note);
  reads.resolve([{ ticket: 1, index: 7 }], 1);
  expect(answers).toEqual([7]);
  expect(reads.size).toBe(0);
});

test("a read whose answer is lost asks again under a new ticket", () => {
  const { reads, answers, note, lastTicket } = asked();
  reads.read(0, { deadlineMs: 1000, retry: true }, note);
  reads.sweep(300);
  expect(lastTicket()).toBe(2);
  reads.resolve([{ ticket: 1, index: 3 }], 301);
  expect(answers).toEqual([]);
  reads.resolve([{ ticket: 2, index: 4 }], 302);
  expect(answers).toEqual([4]);
});

test("a read that ran meanwhile never asks again", () => {
  const { reads, answers, note, lastTicket } = asked();
  reads.read(0, { deadlineMs: 1000, retry: false }, note);
  reads.sweep(500);
  expect(lastTicket()).toBe(1);
  reads.resolve([{ ticket: 1, index: undefined }], 501);
  expect(answers).toEqual([undefined]);
});

test("a read gives up at its deadline", () => {
  const { reads, answers, note } = asked();
  reads.read(0, { deadlineMs: 1000, retry: true }, note);
  reads.resolve([{ ticket: 1, index: undefined }], 900);
  expect(answers).toEqual([]);
  reads.sweep(1000);
  expect(answers).toEqual([undefined]);
});

test("when leadership is lost a read that ran meanwhile fails, another asks on", () => {
  const { reads, answers, note } = asked();
  reads.read(0, { deadlineMs: 1000, retry: false }, note);
  reads.read(0, { deadlineMs: 1000, retry: true }, note);
  reads.failFixed();
  expect(answers).toEqual([undefined]);
  expect(reads.size).toBe(1);
});
