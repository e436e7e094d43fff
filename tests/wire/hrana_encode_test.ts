import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import {
  encodeColumns,
  encodeError,
  encodeOk,
  encodePipeline,
  jsonText,
} from "../../lib/wire/hrana/encode.ts";
import type { Json, JsonPart } from "../../lib/wire/hrana/types.ts";

// deno-lint-ignore no-explicit-any
function parse(json: Json): any {
  return JSON.parse(jsonText(json));
}

test("the result of a statement carries its rows as they are", () => {
  const rowsJson = '[[{"type":"integer","value":"1"}]]';
  const cols = [{ name: 'a "b"', decltype: "INT" }, { name: "\ud800", decltype: null }];
  const result = {
    colsJson: encodeColumns(cols),
    rowsJson,
    affectedRowCount: 3,
    lastInsertRowid: 2n ** 62n,
  };
  expect(parse(encodeOk({ type: "execute", result }))).toEqual({
    type: "ok",
    response: {
      type: "execute",
      result: {
        cols,
        rows: [[{ type: "integer", value: "1" }]],
        affected_row_count: 3,
        last_insert_rowid: "4611686018427387904",
      },
    },
  });
});

test("each step of a batch has a result, an error, or neither", () => {
  const result = {
    colsJson: "[]",
    rowsJson: "[]",
    affectedRowCount: 0,
    lastInsertRowid: undefined,
  };
  const error = new DatabaseError("SQLITE", "UNIQUE constraint failed: t.a", {
    sqliteName: "SQLITE_CONSTRAINT",
  });
  const text = encodeOk({
    type: "batch",
    steps: [{ type: "skipped" }, { type: "ok", result }, { type: "error", error }],
  });
  expect(parse(text).response.result).toEqual({
    step_results: [
      null,
      { cols: [], rows: [], affected_row_count: 0, last_insert_rowid: null },
      null,
    ],
    step_errors: [
      null,
      null,
      { message: "UNIQUE constraint failed: t.a", code: "SQLITE_CONSTRAINT" },
    ],
  });
  expect(parse(encodeOk({ type: "batch", steps: [] })).response.result).toEqual({
    step_results: [],
    step_errors: [],
  });
});

test("a description names parameters and columns", () => {
  const cols = [{ name: "a", decltype: "TEXT" }];
  const text = encodeOk({
    type: "describe",
    result: {
      params: [":a", null],
      colsJson: encodeColumns(cols),
      isExplain: false,
      isReadonly: true,
    },
  });
  expect(parse(text).response).toEqual({
    type: "describe",
    result: {
      params: [{ name: ":a" }, { name: null }],
      cols,
      is_explain: false,
      is_readonly: true,
    },
  });
});

test("requests without a result answer with their type", () => {
  for (const type of ["close", "sequence", "store_sql", "close_sql"] as const) {
    expect(parse(encodeOk({ type }))).toEqual({ type: "ok", response: { type } });
  }
  expect(parse(encodeOk({ type: "get_autocommit", isAutocommit: false })).response).toEqual({
    type: "get_autocommit",
    is_autocommit: false,
  });
});

test("an error tells its outcome only where the code does not", () => {
  const plain = new DatabaseError("ARGS_INVALID", 'no ":x"');
  expect(encodeError(plain)).toBe(
    '{"type":"error","error":{"message":"no \\":x\\"","code":"ARGS_INVALID"}}',
  );
  const lost = new DatabaseError("LEADERSHIP_LOST", "m", { hint: "read it", leader: "http://b" });
  expect(JSON.parse(encodeError(lost)).error).toEqual({
    message: "m",
    code: "LEADERSHIP_LOST",
    outcome: "unknown",
    hint: "read it",
    leader: "http://b",
  });
  const refused = new DatabaseError("DISK", "m", { outcome: "rejected" });
  expect(JSON.parse(encodeError(refused)).error.outcome).toBe("rejected");
});

test("rows that are bytes stay the very bytes, and what is around them joins them", () => {
  const row = new TextEncoder().encode('[{"type":"text","value":"ä"}]');
  const rowsJson: Json = ["[", row, "]"];
  const result = { colsJson: "[]", rowsJson, affectedRowCount: 0, lastInsertRowid: undefined };
  const text = { ...result, rowsJson: jsonText(rowsJson) };
  for (
    const asText of [
      { type: "execute", result: text },
      { type: "batch", steps: [{ type: "ok", result: text }, { type: "skipped" }] },
    ] as const
  ) {
    const asBytes = asText.type === "execute"
      ? { ...asText, result }
      : { ...asText, steps: [{ type: "ok", result }, { type: "skipped" }] } as const;
    const bytes = encodeOk(asBytes);
    expect((bytes as readonly JsonPart[]).includes(row)).toBe(true);
    expect(jsonText(bytes)).toBe(encodeOk(asText) as string);
    const pipeline = encodePipeline(undefined, undefined, [bytes, "1"]);
    expect(jsonText(pipeline)).toBe(
      encodePipeline(undefined, undefined, [jsonText(bytes), "1"]) as string,
    );
  }
});

test("a pipeline joins its results", () => {
  expect(encodePipeline(undefined, undefined, [])).toBe(
    '{"baton":null,"base_url":null,"results":[]}',
  );
  expect(parse(encodePipeline('b"', "http://h/", ["1", "2"]))).toEqual({
    baton: 'b"',
    base_url: "http://h/",
    results: [1, 2],
  });
});
