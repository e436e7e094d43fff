import { expect, test } from "bun:test";
import { looksLikeLongOneShot, looksLikeWriteIn } from "../../lib/wire/hrana/outline.ts";

const LONG = "x".repeat(5_000);

test("a long text that begins with requests and ends with a close is taken for a one-shot", () => {
  const close = '{"type":"close"}';
  const is = [
    `{"requests":["${LONG}",${close}]}`,
    ` {\n "baton" : null , "requests" : ["${LONG}", { "type" : "close" } ] } \n`,
    `{"requests":[],"other":["${LONG}",${close}]}`,
  ];
  const isNot = [
    `{"requests":[${close}]}`,
    `{"requests":["${LONG}"]}`,
    `{"baton":"b","requests":["${LONG}",${close}]}`,
    `{"requests":["${LONG}",${close}],"baton":"b"}`,
    `{"requests":["${LONG}"],"baton":"b","other":[${close}]}`,
    `{"requests":["${LONG}",${close}]`,
  ];
  expect(is.map(looksLikeLongOneShot)).toEqual(is.map(() => true));
  expect(isNot.map(looksLikeLongOneShot)).toEqual(isNot.map(() => false));
});

test("SQL is a write unless it begins with a word that reads", () => {
  const write = ['"sql":"INSERT', '"sql" : "with x', '"sql":"", "sql":"commit', '"sql":"selected'];
  const read = [
    '"sql":"SELECT 1"',
    '"sql": "\\n\\t values (1)"',
    '"sql_id":3',
    '"sql":" explain x"',
  ];
  expect(write.map(looksLikeWriteIn)).toEqual(write.map(() => true));
  expect(read.map(looksLikeWriteIn)).toEqual(read.map(() => false));
});
