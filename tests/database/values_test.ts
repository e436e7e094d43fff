import { expect, test } from "bun:test";
import { FormatError } from "../../lib/base/bytes.ts";
import { joinInteger, Rows, type Value, ValueEncoder } from "../../lib/database/values.ts";
import { errorOf, Folder } from "./fixture.ts";

const INTEGERS = [
  0n,
  1n,
  -1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  -(2n ** 53n) - 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];

function roundTrip(values: Value[]): Value[] {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (value)");
  for (const value of values) db.prepare("INSERT INTO t VALUES (?)").statement!.run([value]);
  const { rows } = db.prepare("SELECT value FROM t ORDER BY rowid").statement!.run();
  return rows.decode().map((row) => row[0]!);
}

function encode(...values: Value[]): Uint8Array {
  const encoder = new ValueEncoder(1);
  for (const value of values) encoder.add(value);
  return encoder.buffer.slice(0, encoder.length);
}

test("integers of 64 bits come back exactly", () => {
  expect(roundTrip(INTEGERS)).toEqual(INTEGERS);
});

test("reals stay reals, whole ones too", () => {
  const reals = [0, -0, 1, 1.5, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, Infinity, -Infinity];
  const back = roundTrip(reals);
  expect(back.map((value) => typeof value)).toEqual(reals.map(() => "number"));
  expect(back).toEqual(reals);
});

test("a number is stored as REAL and a bigint as INTEGER", () => {
  using folder = new Folder();
  const { statement } = folder.connect().prepare("SELECT typeof(?1), ?1 / 2, typeof(?2), ?2 / 2");
  expect(statement!.run([1, 1n]).rows.decode()).toEqual([["real", 0.5, "integer", 0n]]);
});

test("NaN becomes NULL, as SQLite has it", () => {
  expect(roundTrip([NaN])).toEqual([null]);
});

test("texts come back with NUL, emoji and any length", () => {
  const texts = [
    "",
    "a",
    "a\0b\0",
    "é",
    "日本語",
    "🚀".repeat(30),
    "x".repeat(47) + "é",
    "\uFEFFx",
  ];
  texts.push("long é ".repeat(10_000));
  expect(roundTrip(texts)).toEqual(texts);
});

test("half of a surrogate pair becomes U+FFFD", () => {
  expect(roundTrip(["a\uD800b", "\uDC00"])).toEqual(["a\uFFFDb", "\uFFFD"]);
});

test("text in the database that is not UTF-8 is read without harm", () => {
  using folder = new Folder();
  const { statement } = folder.connect().prepare("SELECT CAST(x'61ff62e282' AS TEXT), 7");
  expect(statement!.run().rows.decode()).toEqual([["a\uFFFDb\uFFFD", 7n]]);
});

test("blobs come back, empty ones too, and a NULL is not an empty blob", () => {
  const big = new Uint8Array(700_000).map((_, i) => i);
  const values = [new Uint8Array(), new Uint8Array([0]), big, null];
  expect(roundTrip(values)).toEqual(values);
});

test("a view of a larger buffer is bound as what it shows", () => {
  const view = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
  expect(roundTrip([view])).toEqual([new Uint8Array([1, 2])]);
});

test("an integer above 64 bits is refused with the parameter's name", () => {
  using folder = new Folder();
  const statement = folder.connect().prepare("SELECT :big").statement!;
  const error = errorOf(() => statement.run([2n ** 63n]));
  expect(error.code).toBe("ARGS_INVALID");
  expect(error.message).toBe("Argument :big: Integer 9223372036854775808 does not fit 64 bits");
});

test("safe integers are numbers where the reader asks for it", () => {
  using folder = new Folder();
  const { statement } = folder.connect().prepare("SELECT 5, 9007199254740992, -1, 2.0");
  const { rows } = statement!.run();
  expect(rows.decode({ integers: "number" })).toEqual([[5, 2n ** 53n, -1, 2]]);
  expect(rows.decode()).toEqual([[5n, 2n ** 53n, -1n, 2]]);
});

test("the halves of an integer join to it", () => {
  for (const value of INTEGERS) {
    const high = Number(BigInt.asIntN(32, value >> 32n));
    const low = Number(BigInt.asUintN(32, value));
    expect(joinInteger(high, low)).toBe(value);
  }
});

test("bytes that are no values are refused at every cut", () => {
  const bytes = encode(null, 5n, 1.5, "text", new Uint8Array([1, 2, 3])).slice();
  expect(new Rows(5, [{ count: 1, bytes }]).decode()).toHaveLength(1);
  const whole = new Set([1, 10, 19, 28]);
  for (let end = 1; end < bytes.length; end++) {
    if (whole.has(end)) continue;
    const rows = new Rows(5, [{ count: 1, bytes: bytes.slice(0, end) }]);
    expect(() => rows.decode()).toThrow();
  }
  const unknown = new Rows(1, [{ count: 1, bytes: new Uint8Array([9]) }]);
  expect(() => unknown.decode()).toThrow(FormatError);
});
