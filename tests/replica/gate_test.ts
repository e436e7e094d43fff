import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { Gate } from "../../lib/replica/gate.ts";

test("a reply leaves at once when what it shows is committed", () => {
  const gate = new Gate();
  gate.open(5);
  const left: number[] = [];
  gate.wait(5, () => left.push(5));
  expect(left).toEqual([5]);
});

test("replies leave in the order of what they wait for", () => {
  const gate = new Gate();
  const left: string[] = [];
  gate.wait(3, () => left.push("write 3"));
  gate.wait(1, () => left.push("write 1"));
  gate.wait(2, () => left.push("write 2"));
  gate.wait(2, () => left.push("read of 2"));
  gate.open(2);
  expect(left).toEqual(["write 1", "write 2", "read of 2"]);
  expect(gate.size).toBe(1);
  gate.open(3);
  expect(left.at(-1)).toBe("write 3");
});

test("when leadership is lost every waiting reply is told what became of its transaction", () => {
  const gate = new Gate();
  gate.open(1);
  const errors: (string | undefined)[] = [];
  for (const seq of [2, 3, 4]) gate.wait(seq, (error) => errors.push(error?.code));
  gate.fail((seq) => new DatabaseError(seq > 3 ? "NOT_LEADER" : "LEADERSHIP_LOST", "lost"));
  expect(errors).toEqual(["LEADERSHIP_LOST", "LEADERSHIP_LOST", "NOT_LEADER"]);
  expect(gate.size).toBe(0);
});

test("a callback that waits again is not lost", () => {
  const gate = new Gate();
  const left: number[] = [];
  gate.wait(1, () => gate.wait(2, () => left.push(2)));
  gate.open(1);
  expect(left).toEqual([]);
  gate.open(2);
  expect(left).toEqual([2]);
});

test("a gate that went through many replies keeps none of them", () => {
  const gate = new Gate();
  let left = 0;
  for (let seq = 1; seq <= 5000; seq++) {
    gate.wait(seq, () => left++);
    if (seq % 3 === 0) gate.open(seq);
  }
  gate.open(5000);
  expect(left).toBe(5000);
  expect(gate.size).toBe(0);
});

test("the gate never closes again", () => {
  const gate = new Gate();
  gate.open(2);
  expect(() => gate.open(1)).toThrow("gate goes back");
});
