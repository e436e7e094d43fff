import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { CursorReader } from "../../lib/wire/hrana/cursor.ts";
import {
  encodeColumns,
  encodeOk,
  encodePipeline,
  jsonBytes,
  jsonText,
  type StepResult,
} from "../../lib/wire/hrana/encode.ts";
import { splitPipelineReply } from "../../lib/wire/hrana/pipeline_reply.ts";
import { endOfValue, membersOf } from "../../lib/wire/json_scan.ts";

const encoder = new TextEncoder();
const ALL = { count: 1_000, bytes: 1_000_000 };

function rows(...values: string[]): StepResult {
  return {
    type: "ok",
    result: {
      colsJson: encodeColumns([{ name: 'a"]}', decltype: "TEXT" }]),
      rowsJson: JSON.stringify(values.map((value) => [{ type: "text", value }])),
      affectedRowCount: values.length,
      lastInsertRowid: 7n,
    },
  };
}

function failed(message: string): StepResult {
  return { type: "error", error: new DatabaseError("SQL_PARSE_ERROR", message) };
}

const SKIPPED: StepResult = { type: "skipped" };

/** A cursor over a batch, whose result comes as text or in parts. */
function cursor(steps: readonly StepResult[], inParts = false): CursorReader {
  const result = encodeOk({ type: "batch", steps }) as string;
  const parts = [result.slice(0, 50), encoder.encode(result.slice(50, 200)), result.slice(200)];
  return new CursorReader(inParts ? parts : result);
}

function fetch(reader: CursorReader, bounds = ALL) {
  const { json, done } = reader.next(bounds);
  return { entries: JSON.parse(new TextDecoder().decode(json)), done };
}

test("a cursor tells of every step but the skipped ones, row by row", () => {
  const tricky = '],"step_errors":[{}\\"\n\u{1f600}';
  for (const inParts of [false, true]) {
    const reader = cursor([SKIPPED, rows("x", tricky), rows(), failed(tricky), SKIPPED], inParts);
    const cols = [{ name: 'a"]}', decltype: "TEXT" }];
    const row = (value: string) => ({ type: "row", row: [{ type: "text", value }] });
    const end = (count: number) => {
      return { type: "step_end", affected_row_count: count, last_insert_rowid: "7" };
    };
    expect(fetch(reader)).toEqual({
      entries: [
        { type: "step_begin", step: 1, cols },
        row("x"),
        row(tricky),
        end(2),
        { type: "step_begin", step: 2, cols },
        end(0),
        {
          type: "step_error",
          step: 3,
          error: { message: tricky, code: "SQL_PARSE_ERROR" },
        },
      ],
      done: true,
    });
    expect(fetch(reader)).toEqual({ entries: [], done: true });
  }
});

test("a fetch gives as many entries as are asked for, and says when it gave the last one", () => {
  const reader = cursor([rows("a", "b"), SKIPPED, SKIPPED]);
  const types: string[][] = [];
  for (let done = false; !done;) {
    const fetched = fetch(reader, { count: 3, bytes: 1_000_000 });
    types.push(fetched.entries.map((entry: { type: string }) => entry.type));
    done = fetched.done;
  }
  expect(types).toEqual([["step_begin", "row", "row"], ["step_end"]]);
  expect(fetch(cursor([]))).toEqual({ entries: [], done: true });
  expect(fetch(cursor([rows("a")]), { count: 0, bytes: 1 })).toEqual({ entries: [], done: false });
});

test("a fetch stops behind the entry that fills it, however large that is", () => {
  const reader = cursor([rows("x".repeat(5_000), "y")]);
  const bounds = { count: 10, bytes: 100 };
  const types = () => fetch(reader, bounds).entries.map(({ type }: { type: string }) => type);
  expect(types()).toEqual(["step_begin", "row"]);
  expect(types()).toEqual(["row", "step_end"]);
});

test("what is no result of a batch is refused", () => {
  const sequence = encodeOk({ type: "sequence" });
  for (const result of [sequence, "", '{"type":"ok","response":{"type":"batch","result":']) {
    expect(() => new CursorReader(result)).toThrow(DatabaseError);
  }
});

test("the reply of a node is taken apart into its results", () => {
  const results = ['{"a":"]},{"}', [encoder.encode("[1,[2],{}]")], "null", "1"];
  const reply = splitPipelineReply(jsonBytes(encodePipeline("b.1", "http://a:1/", results)));
  expect([reply.baton, reply.baseUrl]).toEqual(["b.1", "http://a:1/"]);
  expect(reply.results.map(jsonText)).toEqual([
    '{"a":"]},{"}',
    "[1,[2],{}]",
    "null",
    "1",
  ]);
  const empty = splitPipelineReply(encoder.encode('{"results":[],"baton":null,"base_url":null}'));
  expect(empty).toEqual({ baton: undefined, baseUrl: undefined, results: [] });
});

test("JSON that is cut short or none at all is refused, and nothing beyond it is read", () => {
  const whole = '{"baton":null,"base_url":null,"results":[{"a":"x\\\\"},[1]]}';
  for (let length = 0; length < whole.length; length++) {
    expect(() => splitPipelineReply(encoder.encode(whole.slice(0, length)))).toThrow(DatabaseError);
  }
  expect(splitPipelineReply(encoder.encode(whole)).results).toHaveLength(2);
  for (const text of ["", "[]", "null", "{1}", '{"a"}', '{"a":1 "b":2}']) {
    expect(() => membersOf(encoder.encode(text), 0)).toThrow(DatabaseError);
  }
});

test("a value ends where the next thing begins", () => {
  for (const value of ['"a\\"b,]}"', "-1.5e3", "null", "[]", "{}", '[{"a":[1,"]"]},2]']) {
    for (const behind of ["", ",1", "]", "}"]) {
      expect(endOfValue(encoder.encode(value + behind), 0)).toBe(value.length);
    }
  }
});
