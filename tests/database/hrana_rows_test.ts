import { expect, test } from "bun:test";
import { encodeRowsAsHrana } from "../../lib/database/hrana_rows.ts";
import { jsonText } from "../../lib/wire/hrana/encode.ts";
import { type RowBatch, Rows, type Value } from "../../lib/database/values.ts";
import { errorOf, Folder, library } from "./fixture.ts";

function encode(sql: string, args: Value[] = []): string {
  using folder = new Folder();
  const { rows } = folder.connect().prepare(sql).statement!.run(args);
  return jsonText(encodeRowsAsHrana(library, rows));
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

test("JSON above its bound is refused, and may come in several batches", () => {
  using folder = new Folder();
  const sql = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 20000) " +
    "SELECT n, NULL, NULL FROM s";
  const { rows } = folder.connect().prepare(sql).statement!.run();
  const sizeBytes = encodeRowsAsHrana(library, rows).length;
  expect(sizeBytes).toBeGreaterThan(5 * rows.sizeBytes);
  expect(encodeRowsAsHrana(library, rows, sizeBytes + rows.batches.length)).toHaveLength(sizeBytes);
  for (const bytesMax of [100, sizeBytes / 2, sizeBytes - 100]) {
    const error = errorOf(() => encodeRowsAsHrana(library, rows, bytesMax));
    expect([error.code, error.outcome]).toEqual(["RESPONSE_TOO_LARGE", "unknown"]);
  }
});

test("bytes that are no rows are noticed", () => {
  const bad: RowBatch[] = [
    { count: 1, bytes: new Uint8Array([1, 0, 0]) },
    { count: 1, bytes: new Uint8Array([3, 9, 0, 0, 0, 65]) },
    { count: 1, bytes: new Uint8Array([7]) },
    { count: 1, bytes: new Uint8Array([0, 0]) },
    { count: 2, bytes: new Uint8Array([0]) },
  ];
  for (const batch of bad) {
    expect(() => encodeRowsAsHrana(library, new Rows(1, [batch]))).toThrow("are not");
  }
});
