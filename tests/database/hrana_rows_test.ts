import { expect, test } from "bun:test";
import type { Value } from "../../lib/database/values.ts";
import { jsonText } from "../../lib/wire/hrana/encode.ts";
import { errorOf, Folder } from "./fixture.ts";

function encode(sql: string, args: Value[] = []): string {
  using folder = new Folder();
  return jsonText(folder.connect().prepare(sql).statement!.runToJson(args).rowsJson);
}

/** What one value becomes. */
function json(value: Value): unknown {
  return JSON.parse(encode("SELECT ?", [value]))[0][0];
}

test("each kind of value has its form", () => {
  expect(encode("SELECT NULL, 1, 1.5, 'a', x'01'")).toBe(
    '[[{"type":"null"},{"type":"integer","value":"1"},{"type":"float","value":1.5},' +
      '{"type":"text","value":"a"},{"type":"blob","base64":"AQ"}]]',
  );
});

test("rows are arrays inside an array, also when there are none or many batches", () => {
  expect(encode("SELECT 1 WHERE 0")).toBe("[]");
  const one = '[{"type":"integer","value":"1"}]';
  expect(encode("SELECT 1 UNION ALL SELECT 1")).toBe(`[${one},${one}]`);
  const sql = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 30000) " +
    "SELECT n, 'some text' FROM s";
  const rows: { value: string }[][] = JSON.parse(encode(sql));
  expect(rows).toHaveLength(30_000);
  rows.forEach(([n], i) => {
    if (n!.value !== String(i + 1)) throw new Error(`row ${i} holds ${n!.value}`);
  });
});

test("integers are exact", () => {
  for (const value of [0n, -1n, 10n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    expect(json(value)).toEqual({ type: "integer", value: String(value) });
  }
});

test("reals read back as the same number", () => {
  const reals = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 123456.789, 2 ** 53, 1e21, 1e22, 0];
  reals.push(2 ** 53 - 1, 0.1 + 0.2, 1e-7, 12345678.12345678, 90071992.54740993, 4.35, 1.005);
  const view = new DataView(new ArrayBuffer(8));
  for (let i = 0, seed = 1; i < 5_000; i++) {
    seed = Math.imul(seed, 1664525) + 1013904223 | 0;
    view.setInt32(0, seed);
    seed = Math.imul(seed, 1664525) + 1013904223 | 0;
    view.setInt32(4, seed);
    const bits = view.getFloat64(0);
    if (Number.isFinite(bits)) reals.push(bits);
    reals.push((seed % 1_000_000) / 100, seed / 1_000_000_000);
  }
  const all = [...reals, ...reals.map((real) => -real)];
  const list = all.map(() => "(?)").join();
  const rows: { type: string; value: number }[][] = JSON.parse(encode(`VALUES ${list}`, all));
  expect(rows.map(([cell]) => cell!.value)).toEqual(all);
  expect(rows.every(([cell]) => cell!.type === "float")).toBe(true);
});

test("a whole real keeps a decimal, an infinite one is null", () => {
  expect(encode("SELECT 2.0, -3.0")).toContain('"value":2.0},{"type":"float","value":-3.0}');
  expect(json(Infinity)).toEqual({ type: "null" });
  expect(json(-Infinity)).toEqual({ type: "null" });
});

test("every character comes through JSON", () => {
  const ascii = Array.from({ length: 128 }, (_, i) => String.fromCharCode(i)).join("");
  for (const value of ["", ascii, "é\u2028\u2029🚀\uFEFF", '"\\"'.repeat(5_000)]) {
    expect(json(value)).toEqual({ type: "text", value });
  }
});

test("text that is not UTF-8 keeps the JSON around it whole", () => {
  const sql = "SELECT CAST(x'61ff' AS TEXT), CAST(x'f09f' AS TEXT), 'next'";
  expect(JSON.parse(encode(sql))[0]).toEqual([
    { type: "text", value: "a\uFFFD" },
    { type: "text", value: "\uFFFD" },
    { type: "text", value: "next" },
  ]);
});

test("blobs are base64 without padding", () => {
  for (let length = 0; length < 70; length++) {
    const blob = new Uint8Array(length).map((_, i) => i * 37 + length);
    const base64 = btoa(String.fromCharCode(...blob)).replaceAll("=", "");
    expect(json(blob)).toEqual({ type: "blob", base64 });
  }
});

test("JSON larger than the buffer at hand is made in one of its own", () => {
  const value = "\u0001".repeat(150_000);
  expect(json(value)).toEqual({ type: "text", value });
});

test("rows that fill the buffer to any byte are whole", () => {
  const bufferBytes = 256 * 1024;
  const frame = '[{"type":"text","value":""}]'.length;
  for (let short = -2; short <= 2; short++) {
    // The second row fits, or does not, with the comma before it.
    const text = "x".repeat(bufferBytes - 2 * frame - 8 + short);
    const rows: { value: string }[][] = JSON.parse(
      encode(`VALUES (?), ('1234567'), ('z')`, [text]),
    );
    expect(rows.map(([cell]) => cell!.value)).toEqual([text, "1234567", "z"]);
  }
});

test("escapes are found at every place of a word", () => {
  for (
    const char of ['"', "\\", "\u0000", "\u001f", "\n", " ", "!", "#", "[", "]", "\u007f", "é"]
  ) {
    for (let at = 0; at < 20; at++) {
      const value = "a".repeat(at) + char + "b".repeat(19 - at) + char;
      expect(json(value)).toEqual({ type: "text", value });
    }
  }
});

test("JSON above its bound is refused, and takes back what the statement wrote", () => {
  using folder = new Folder();
  const connection = folder.connect();
  connection.exec("CREATE TABLE t (n)");
  const sql = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 20000) " +
    "INSERT INTO t SELECT n FROM s RETURNING n, NULL, NULL";
  const { statement } = connection.prepare(sql);
  const sizeBytes = jsonText(statement!.runToJson().rowsJson).length;
  for (const bytesMax of [100, sizeBytes / 2, sizeBytes - 300_000]) {
    const error = errorOf(() => statement!.runToJson([], { bytesMax }));
    expect(error.code).toBe("RESPONSE_TOO_LARGE");
  }
  const { rowsJson } = connection.prepare("SELECT count(*) FROM t").statement!.runToJson();
  expect(jsonText(rowsJson)).toBe('[[{"type":"integer","value":"20000"}]]');
});
