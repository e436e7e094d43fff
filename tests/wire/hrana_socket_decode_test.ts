import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import {
  decodeClientMessage,
  decodeSocketRequest,
  type HranaVersion,
  HranaViolation,
  type SocketRequest,
} from "../../lib/wire/hrana/socket_decode.ts";
import {
  encodeDone,
  encodeEntries,
  encodeRefusal,
  encodeResult,
} from "../../lib/wire/hrana/socket_encode.ts";
import { encodeError, encodeOk, jsonText } from "../../lib/wire/hrana/encode.ts";
import type { Json } from "../../lib/wire/hrana/types.ts";

const STORED = new Map([[7, "SELECT 7"], [8, "SELECT 8"]]);

function decode(request: unknown, version: HranaVersion = 3): SocketRequest {
  const message = decodeClientMessage(JSON.stringify({ type: "request", request_id: 1, request }));
  if (message.type !== "request") throw new Error(message.type);
  return decodeSocketRequest(message.request, version, (sqlId) => STORED.get(sqlId));
}

/** Whether what is decoded ends the connection, or only the request. */
function fate(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HranaViolation) return "violation";
    if (error instanceof DatabaseError) return error.code;
    throw error;
  }
  return "fine";
}

test("every request is decoded", () => {
  const requests = [
    { type: "open_stream", stream_id: -1 },
    { type: "close_stream", stream_id: 2 ** 31 - 1 },
    { type: "store_sql", sql_id: 3, sql: "SELECT 1" },
    { type: "close_sql", sql_id: 3 },
    { type: "fetch_cursor", cursor_id: 4, max_count: 2 ** 32 - 1 },
    { type: "close_cursor", cursor_id: 4 },
  ];
  expect(requests.map((request) => decode(request))).toEqual([
    { type: "open_stream", streamId: -1 },
    { type: "close_stream", streamId: 2 ** 31 - 1 },
    { type: "store_sql", sqlId: 3, sql: "SELECT 1" },
    { type: "close_sql", sqlId: 3 },
    { type: "fetch_cursor", cursorId: 4, maxCount: 2 ** 32 - 1 },
    { type: "close_cursor", cursorId: 4 },
  ]);
  expect(decode({ type: "get_autocommit", stream_id: 5 })).toEqual({
    type: "run",
    streamId: 5,
    request: { type: "get_autocommit" },
    json: '{"type":"get_autocommit","stream_id":5}',
    cursorId: undefined,
  });
});

test("a cursor runs a batch", () => {
  const batch = { steps: [{ stmt: { sql: "SELECT 1" } }] };
  const task = decode({ type: "open_cursor", stream_id: 1, cursor_id: 9, batch });
  expect(task).toMatchObject({ type: "run", streamId: 1, cursorId: 9, request: { type: "batch" } });
  if (task.type === "run") expect(JSON.parse(task.json)).toMatchObject({ type: "batch", batch });
});

test("stored texts stand in place of their numbers, also in what is passed on", () => {
  const steps = [{ stmt: { sql_id: 7 } }, { stmt: { sql: "SELECT 1" } }, { stmt: { sql_id: 8 } }];
  const requests = [
    { type: "execute", stream_id: 1, stmt: { sql_id: 7, sql: null } },
    { type: "sequence", stream_id: 1, sql_id: 7 },
    { type: "describe", stream_id: 1, sql_id: 7 },
    { type: "batch", stream_id: 1, batch: { steps } },
    { type: "open_cursor", stream_id: 1, cursor_id: 1, batch: { steps } },
  ];
  for (const request of requests) {
    const task = decode(request);
    if (task.type !== "run") throw new Error(task.type);
    expect(JSON.stringify(task.request)).toContain('"sql":"SELECT 7"');
    expect(task.json).toContain('"sql":"SELECT 7"');
    expect(task.json).not.toContain("sql_id");
  }
});

test("a request that is wrong in itself is refused alone", () => {
  const refused: [unknown, string][] = [
    [{ type: "execute", stream_id: 1, stmt: { sql_id: 6 } }, "SQL_STORE_UNKNOWN"],
    [{ type: "execute", stream_id: 1, stmt: { sql_id: 7, sql: "SELECT 1" } }, "PROTOCOL"],
    [{ type: "execute", stream_id: 1, stmt: { sql_id: 7.5 } }, "PROTOCOL"],
    [{ type: "execute", stream_id: 1, stmt: null }, "PROTOCOL"],
    [{ type: "execute", stream_id: 1 }, "PROTOCOL"],
    [{ type: "batch", stream_id: 1, batch: { steps: [null] } }, "PROTOCOL"],
    [{ type: "batch", stream_id: 1, batch: null }, "PROTOCOL"],
    [{ type: "sequence", stream_id: 1, sql: 5 }, "PROTOCOL"],
    [{ type: "store_sql", sql_id: 1 }, "PROTOCOL"],
  ];
  for (const [request, code] of refused) expect(fate(() => decode(request))).toBe(code);
});

test("texts that are many times as long as the message that names them are refused", () => {
  const text = "x".repeat(1024 * 1024);
  const run = (count: number) => {
    const steps = Array.from({ length: count }, () => ({ stmt: { sql_id: 1 } }));
    return decodeSocketRequest({ type: "batch", stream_id: 1, batch: { steps } }, 3, () => text);
  };
  const fits = HTTP_BODY_BYTES_MAX / text.length;
  expect(fate(() => run(fits))).toBe("fine");
  expect(fate(() => run(fits + 1))).toBe("TOO_LARGE");
});

test("what breaks the protocol is told apart", () => {
  const messages = [
    "[]",
    "null",
    "{}",
    '{"type":"helo"}',
    '{"type":"request","request":{}}',
    '{"type":"request","request_id":1}',
    '{"type":"request","request_id":1.5,"request":{}}',
    '{"type":"request","request_id":2147483648,"request":{}}',
    '{"type":"request","request_id":1,"request":[]}',
  ];
  for (const message of messages) {
    expect(fate(() => decodeClientMessage(message))).toBe("violation");
  }
  expect(fate(() => decodeClientMessage("{"))).toBe("PROTOCOL");
  expect(decodeClientMessage('{"type":"hello","jwt":"x"}')).toEqual({ type: "hello" });
  const requests = [
    {},
    { type: "close" },
    { type: "open_stream" },
    { type: "execute", stmt: { sql: "SELECT 1" } },
    { type: "fetch_cursor", cursor_id: 1, max_count: -1 },
  ];
  for (const request of requests) expect(fate(() => decode(request))).toBe("violation");
});

test("each version has its requests", () => {
  const batch = { steps: [] };
  const since: readonly (readonly [HranaVersion, object])[] = [
    [1, { type: "open_stream", stream_id: 1 }],
    [1, { type: "execute", stream_id: 1, stmt: { sql: "" } }],
    [1, { type: "batch", stream_id: 1, batch }],
    [1, { type: "close_stream", stream_id: 1 }],
    [2, { type: "sequence", stream_id: 1, sql: "" }],
    [2, { type: "describe", stream_id: 1, sql: "" }],
    [2, { type: "store_sql", sql_id: 1, sql: "" }],
    [2, { type: "close_sql", sql_id: 1 }],
    [3, { type: "get_autocommit", stream_id: 1 }],
    [3, { type: "open_cursor", stream_id: 1, cursor_id: 1, batch }],
    [3, { type: "fetch_cursor", cursor_id: 1, max_count: 1 }],
    [3, { type: "close_cursor", cursor_id: 1 }],
  ];
  for (const [first, request] of since) {
    for (const version of [1, 2, 3] as const) {
      expect(fate(() => decode(request, version))).toBe(version < first ? "violation" : "fine");
    }
  }
});

test("results leave the envelope of the pipeline for that of the message", () => {
  const parse = (json: Json) => JSON.parse(jsonText(json));
  const ok = encodeOk({ type: "get_autocommit", isAutocommit: true }) as string;
  const error = encodeError(new DatabaseError("BUSY", "é"));
  const bytes = (json: string) => new TextEncoder().encode(json);
  const ways: ((json: string) => Json)[] = [
    (json) => json,
    (json) => [bytes(json)],
    (json) => [json.slice(0, 30), bytes(json.slice(30))],
    (json) => [bytes(json.slice(0, 30)), json.slice(30)],
  ];
  for (const encode of ways) {
    expect(parse(encodeResult(5, encode(ok)))).toEqual({
      type: "response_ok",
      request_id: 5,
      response: { type: "get_autocommit", is_autocommit: true },
    });
    expect(parse(encodeResult(5, encode(error)))).toEqual({
      type: "response_error",
      request_id: 5,
      error: { message: "é", code: "BUSY" },
    });
  }
  expect(parse(encodeDone(6, "close_stream"))).toEqual({
    type: "response_ok",
    request_id: 6,
    response: { type: "close_stream" },
  });
  expect(parse(encodeRefusal(7, '{"message":"m"}'))).toEqual({
    type: "response_error",
    request_id: 7,
    error: { message: "m" },
  });
  const entries = { json: new TextEncoder().encode('[{"type":"row","row":[]}]'), done: true };
  expect(parse(encodeEntries(8, entries))).toEqual({
    type: "response_ok",
    request_id: 8,
    response: { type: "fetch_cursor", done: true, entries: [{ type: "row", row: [] }] },
  });
});

test("whatever a client sends is decoded, or refused by a rule", () => {
  const random = new SeededRandom(7);
  const pick = <T>(list: readonly T[]): T => list[below(random, list.length)]!;
  const types = ["execute", "batch", "sequence", "describe", "store_sql", "open_cursor", "x", 1];
  const keys = [
    "type",
    "stream_id",
    "cursor_id",
    "stmt",
    "batch",
    "sql",
    "sql_id",
    "steps",
    "args",
  ];
  const value = (depth: number): unknown => {
    const kind = below(random, depth > 4 ? 5 : 8);
    if (kind < 5) return pick([null, true, 6, 7, -1.5, "SELECT 1"]);
    const count = below(random, 5);
    if (kind === 5) return Array.from({ length: count }, () => value(depth + 1));
    const members = Array.from({ length: count }, () => [pick(keys), value(depth + 1)]);
    return { type: pick(types), stream_id: 1, ...Object.fromEntries(members) };
  };
  const seen = new Set<string>();
  for (let i = 0; i < 20_000; i++) {
    const members = keys.slice(1).map((key) => [key, value(0)]);
    const request = { ...Object.fromEntries(members), stream_id: 1, type: pick(types) };
    seen.add(fate(() => decode(request)));
  }
  expect(seen).toEqual(new Set(["violation", "PROTOCOL", "fine", "SQL_STORE_UNKNOWN"]));
});
