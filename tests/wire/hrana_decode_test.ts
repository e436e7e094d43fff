import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import {
  BATCH_STEPS_MAX,
  CONDITION_DEPTH_MAX,
  PIPELINE_REQUESTS_MAX,
  SQL_LENGTH_MAX,
} from "../../lib/base/limits.ts";
import { decodePipeline, decodeStreamRequest } from "../../lib/wire/hrana/decode.ts";
import type { Value } from "../../lib/wire/hrana/types.ts";

function refusal(run: () => unknown): DatabaseError {
  try {
    run();
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

function messageFor(requests: unknown): string {
  return refusal(() => decodePipeline(JSON.stringify({ requests }))).message;
}

function decodeValue(value: unknown): Value {
  const stmt = { sql: "SELECT ?", args: [value] };
  const request = decodeStreamRequest({ type: "execute", stmt });
  if (request.type !== "execute") throw new Error(request.type);
  return request.stmt.args[0]!;
}

test("a pipeline with every kind of request is decoded", () => {
  const stmt = {
    sql: "INSERT INTO t VALUES (?, :b)",
    args: [{ type: "integer", value: "1" }],
    named_args: [{ name: "b", value: { type: "text", value: "é" } }],
    want_rows: false,
  };
  const text = JSON.stringify({
    baton: "abc",
    requests: [
      { type: "execute", stmt },
      { type: "sequence", sql: "SELECT 1; SELECT 2" },
      { type: "describe", sql_id: 7 },
      { type: "store_sql", sql_id: 7, sql: "SELECT 3" },
      { type: "close_sql", sql_id: -7 },
      { type: "get_autocommit" },
      { type: "close", unknown_member: 1 },
    ],
  });
  expect(decodePipeline(text)).toEqual({
    baton: "abc",
    requests: [
      {
        type: "execute",
        stmt: {
          sql: "INSERT INTO t VALUES (?, :b)",
          args: [1n],
          namedArgs: [{ name: "b", value: "é" }],
          wantRows: false,
        },
      },
      { type: "sequence", sql: "SELECT 1; SELECT 2" },
      { type: "describe", sql: 7 },
      { type: "store_sql", sqlId: 7, sql: "SELECT 3" },
      { type: "close_sql", sqlId: -7 },
      { type: "get_autocommit" },
      { type: "close" },
    ],
  });
});

test("null stands for what is absent", () => {
  const stmt = { sql: "SELECT 1", sql_id: null, args: null, named_args: null, want_rows: null };
  const text = JSON.stringify({ baton: null, requests: [{ type: "execute", stmt }] });
  expect(decodePipeline(text)).toEqual({
    baton: undefined,
    requests: [
      { type: "execute", stmt: { sql: "SELECT 1", args: [], namedArgs: [], wantRows: true } },
    ],
  });
});

test("values keep their SQL type", () => {
  expect(decodeValue({ type: "null" })).toBe(null);
  expect(decodeValue({ type: "integer", value: "-9223372036854775808" })).toBe(-(2n ** 63n));
  expect(decodeValue({ type: "integer", value: "9223372036854775807" })).toBe(2n ** 63n - 1n);
  expect(decodeValue({ type: "float", value: 1 })).toBe(1);
  expect(decodeValue({ type: "text", value: "\u0000x" })).toBe("\u0000x");
  expect(decodeValue({ type: "blob", base64: "AQID/w" })).toEqual(new Uint8Array([1, 2, 3, 255]));
  expect(decodeValue({ type: "blob", base64: "AQID/w==" })).toEqual(
    new Uint8Array([1, 2, 3, 255]),
  );
  expect(decodeValue({ type: "blob", base64: "" })).toEqual(new Uint8Array(0));
});

test("conditions of a batch are decoded", () => {
  const stmt = { sql: "SELECT 1" };
  const condition = {
    type: "and",
    conds: [
      { type: "not", cond: { type: "error", step: 0 } },
      { type: "or", conds: [{ type: "ok", step: 0 }, { type: "is_autocommit" }] },
    ],
  };
  const request = decodeStreamRequest({
    type: "batch",
    batch: { steps: [{ stmt }, { stmt, condition }] },
  });
  if (request.type !== "batch") throw new Error(request.type);
  expect(request.batch.steps[0]!.condition).toBe(undefined);
  expect(request.batch.steps[1]!.condition).toEqual(condition as never);
});

const stmt = { sql: "SELECT 1" };
const arg = (value: unknown) => [{ type: "execute", stmt: { sql: "SELECT ?", args: [value] } }];
const when = (condition: unknown) => [
  { type: "batch", batch: { steps: [{ stmt }, { stmt, condition }] } },
];
const refused: [unknown, string][] = [
  [undefined, "requests must be an array; it is missing"],
  ["x", 'requests must be an array; it is "x"'],
  [[1], "requests[0] must be an object; it is 1"],
  [[{ type: "close" }, []], "requests[1] must be an object; it is an array"],
  [[{ type: "exec" }], "requests[0].type must be one of"],
  [[{ type: "execute" }], "requests[0].stmt must be an object; it is missing"],
  [[{ type: "execute", stmt: {} }], "requests[0].stmt.sql must be a string; it is missing"],
  [[{ type: "execute", stmt: { sql: 5 } }], "requests[0].stmt.sql must be a string; it is 5"],
  [
    [{ type: "execute", stmt: { sql: "a", sql_id: 1 } }],
    "requests[0].stmt.sql_id must be absent when sql is given; it is 1",
  ],
  [
    [{ type: "execute", stmt: { sql: "a", want_rows: 1 } }],
    "requests[0].stmt.want_rows must be true or false; it is 1",
  ],
  [
    [{ type: "execute", stmt: { sql: "a", named_args: [{ name: "" }] } }],
    "requests[0].stmt.named_args[0].name must be a string that is not empty",
  ],
  [
    [{ type: "execute", stmt: { sql: "a", named_args: [{ name: "b", value: 1 }] } }],
    "requests[0].stmt.named_args[0].value must be an object; it is 1",
  ],
  [arg({ type: "int" }), "requests[0].stmt.args[0].type must be one of null, integer"],
  [
    arg({ type: "integer", value: 1 }),
    "requests[0].stmt.args[0].value must be a string of decimal",
  ],
  [arg({ type: "integer", value: "0x1" }), '; it is "0x1"'],
  [arg({ type: "integer", value: "" }), '; it is ""'],
  [arg({ type: "integer", value: " 1" }), '; it is " 1"'],
  [arg({ type: "integer", value: "9223372036854775808" }), '; it is "9223372036854775808"'],
  [arg({ type: "integer", value: "-9223372036854775809" }), "within 64 bits"],
  [arg({ type: "float", value: "1" }), "must be a number"],
  [arg({ type: "blob", base64: "?" }), "must be base64"],
  [arg({ type: "text", value: null }), "must be a string; it is null"],
  [[{ type: "store_sql", sql_id: 2 ** 31, sql: "a" }], "must be an integer of 32 bits"],
  [[{ type: "close_sql", sql_id: 1.5 }], "requests[0].sql_id must be an integer of 32 bits"],
  [[{ type: "batch", batch: {} }], "requests[0].batch.steps must be an array; it is missing"],
  [
    when({ type: "ok", step: 1 }),
    "requests[0].batch.steps[1].condition.step must be the position of a step before 1; it is 1",
  ],
  [
    when({ type: "not", cond: { type: "or", conds: [{ type: "error", step: -1 }] } }),
    "requests[0].batch.steps[1].condition.cond.conds[0].step must be",
  ],
  [when({ type: "maybe" }), "requests[0].batch.steps[1].condition.type must be one of ok"],
];

for (const [requests, message] of refused) {
  test(`${JSON.stringify(requests)?.slice(0, 90)} is refused by place, rule and value`, () => {
    const error = refusal(() => decodePipeline(JSON.stringify({ requests })));
    expect(error.code).toBe("PROTOCOL");
    expect(error.message).toContain(message);
  });
}

test("a baton that is not text is refused", () => {
  const text = JSON.stringify({ baton: 5, requests: [] });
  expect(refusal(() => decodePipeline(text)).message).toBe(
    "baton must be a string or null; it is 5",
  );
});

test("the path of an error does not show what was decoded before it", () => {
  const requests = [
    { type: "batch", batch: { steps: [{ stmt }, { stmt }] } },
    { type: "execute", stmt: { sql: "a", args: [{ type: "null" }, { type: "x" }] } },
  ];
  expect(messageFor(requests)).toStartWith("requests[1].stmt.args[1].type must be");
});

test("a long value is shown in part", () => {
  const message = messageFor(arg({ type: "integer", value: "x".repeat(100_000) }));
  expect(message).toContain("(100000 characters)");
  expect(message.length).toBeLessThan(300);
});

test("more than the limits allow is TOO_LARGE", () => {
  const codeFor = (requests: unknown[]) =>
    refusal(() => decodePipeline(JSON.stringify({ requests }))).code;
  const close = { type: "close" };
  const many = (count: number) => Array.from({ length: count }, () => close);
  expect(decodePipeline(JSON.stringify({ requests: many(PIPELINE_REQUESTS_MAX) })).requests.length)
    .toBe(PIPELINE_REQUESTS_MAX);
  expect(codeFor(many(PIPELINE_REQUESTS_MAX + 1))).toBe("TOO_LARGE");
  const steps = Array.from({ length: BATCH_STEPS_MAX + 1 }, () => ({ stmt }));
  expect(codeFor([{ type: "batch", batch: { steps } }])).toBe("TOO_LARGE");
  expect(codeFor([{ type: "sequence", sql: " ".repeat(SQL_LENGTH_MAX + 1) }])).toBe("TOO_LARGE");

  const nested = (depth: number): unknown =>
    depth === 1 ? { type: "is_autocommit" } : { type: "not", cond: nested(depth - 1) };
  const decoded = JSON.stringify({ requests: when(nested(CONDITION_DEPTH_MAX)) });
  expect(decodePipeline(decoded).requests.length).toBe(1);
  expect(codeFor(when(nested(CONDITION_DEPTH_MAX + 1)))).toBe("TOO_LARGE");
});
