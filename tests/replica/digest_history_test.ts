import { expect, test } from "bun:test";
import { DIGESTS_KEPT } from "../../lib/base/limits.ts";
import { DigestHistory } from "../../lib/replica/digest_history.ts";

const digest = (low: number) => ({ low, high: 0, pages: 1 });

test("the digest after an entry is that of the last change up to there", () => {
  const history = new DigestHistory();
  expect(history.at(5)).toBeUndefined();
  history.note(3, digest(30));
  history.note(7, 70);
  history.note(8, undefined);
  history.note(12, digest(120));
  expect(history.at(2)).toBeUndefined();
  expect(history.at(3)).toEqual(digest(30));
  expect(history.at(6)).toEqual(digest(30));
  expect(history.at(7)).toBe(70);
  expect(history.at(9)).toBeUndefined();
  expect(history.at(99)).toEqual(digest(120));
  history.clear();
  expect(history.at(99)).toBeUndefined();
});

test("the oldest digests are forgotten", () => {
  const history = new DigestHistory();
  const last = 3 * DIGESTS_KEPT + 17;
  for (let index = 1; index <= last; index++) history.note(2 * index, index);
  const first = last - DIGESTS_KEPT + 1;
  expect(history.at(2 * first - 1)).toBeUndefined();
  for (let index = first; index <= last; index += 97) {
    expect(history.at(2 * index)).toBe(index);
    expect(history.at(2 * index + 1)).toBe(index);
  }
});
