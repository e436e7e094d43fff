import { expect, test } from "bun:test";

import {
  chooseTarget,
  doubt,
  everybody,
  initialKnowledge,
  learn,
  learnLeader,
} from "../../lib/client/leader.ts";

const A = "http://a:1";
const B = "http://b:1";
const C = "http://c:1";

const view = (term: number, leaderUrl: string | undefined, memberUrls = [A, B, C]) => ({
  url: A,
  view: { term, leaderUrl, memberUrls },
});

test("a client learns the leader and the members from one answer", () => {
  const known = learn(initialKnowledge([A]), view(3, B));
  expect([known.leader, known.term, everybody(known)]).toEqual([B, 3, [B, A, C]]);
});

test("an answer of an older term changes nothing", () => {
  const known = learn(initialKnowledge([A]), view(3, B));
  expect(learn(known, view(2, C, [C]))).toBe(known);
});

test("a newer term without a leader makes the old leader unknown", () => {
  const known = learn(initialKnowledge([A]), view(3, B));
  expect(learn(known, view(3, undefined)).leader).toBe(B);
  expect(learn(known, view(4, undefined)).leader).toBeUndefined();
});

test("an address is the same with and without a slash at its end", () => {
  const known = learnLeader(learn(initialKnowledge([`${A}/`]), view(1, `${B}/`)), `${C}/`);
  expect(everybody(known)).toEqual([C, A, B]);
  expect(doubt(known, C).leader).toBeUndefined();
});

test("seeds are asked for ever, also when they are members no more", () => {
  const known = learn(initialKnowledge([A]), view(1, B, [B, C]));
  expect(everybody(doubt(known, B))).toEqual([B, C, A]);
});

test("a node that just failed is not asked again while there is patience", () => {
  const known = learn(initialKnowledge([A]), view(1, B));
  expect(chooseTarget(known, [A, C], undefined, true)).toBe(B);
  expect(chooseTarget(known, [A, C], B, true)).toBeUndefined();
  expect(chooseTarget(known, [B, C], B, false)).toBe(C);
  expect(chooseTarget(known, [B], B, false)).toBe(B);
  expect(chooseTarget(known, [], B, false)).toBeUndefined();
});

test("a server without a view is its own leader", () => {
  const known = learn(initialKnowledge([A]), { url: A, view: undefined });
  expect(known.leader).toBe(A);
});
