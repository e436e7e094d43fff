import { expect, test } from "bun:test";
import { REPAIR_PAGES_MAX } from "../../lib/base/limits.ts";
import {
  pagesToJson,
  parseDigest,
  parseDigestQuestion,
  parsePages,
  parsePagesQuestion,
} from "../../lib/integrity/questions.ts";

test("pages arrive as they were sent", () => {
  const sets = [
    { pages: [3, 9], bytes: new Uint8Array(1_024).fill(250) },
    { pages: [], bytes: new Uint8Array(0) },
  ];
  for (const set of sets) {
    expect(parsePages(JSON.parse(JSON.stringify(pagesToJson(set))))).toEqual(set);
  }
});

test("what is no question and no answer is refused by name", () => {
  const refused: [() => unknown, string][] = [
    [() => parsePagesQuestion({ pages: [0] }), "question for pages"],
    [
      () => parsePagesQuestion({ pages: Array(REPAIR_PAGES_MAX + 1).fill(1) }),
      "question for pages",
    ],
    [() => parsePagesQuestion(null), "question for pages"],
    [() => parsePages({ pages: [1], bytes: "***" }), "base64"],
    [() => parsePages({ pages: [1, 2], bytes: "AAAA" }), "not 2 pages"],
    [() => parsePages({ pages: [], bytes: "AAAA" }), "not 0 pages"],
    [() => parseDigestQuestion({ index: -1 }), "question about a digest"],
    [() => parseDigest({ low: 1, high: 2 }), "answer with a digest"],
  ];
  for (const [parse, what] of refused) expect(parse).toThrow(what);
});

test("a digest that is not known arrives as such", () => {
  expect(parseDigest(null)).toBeUndefined();
  expect(parseDigest({ low: 1, high: 0xffff_ffff, pages: 3 }))
    .toEqual({ low: 1, high: 0xffff_ffff, pages: 3 });
});
