import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { findJsonError, parseJson } from "../../lib/wire/json.ts";

function messageFor(text: string): string {
  try {
    parseJson(text, "The body");
  } catch (error) {
    if (error instanceof DatabaseError && error.code === "PROTOCOL") return error.message;
    throw error;
  }
  throw new Error("it was parsed");
}

test("JSON is parsed", () => {
  expect(parseJson(' {"a":[1,-2.5e3,"x\\u00e9",null,true]} ', "It")).toEqual({
    a: [1, -2500, "xé", null, true],
  });
});

test("every prefix of a document is said to end too early", () => {
  const text = '{"a": [1.5, "x\\n\\u00e9", {"b": null, "c": {}}, [], true]}';
  expect(findJsonError(text)).toBe(undefined);
  for (let length = 0; length < text.length; length++) {
    const prefix = text.slice(0, length);
    expect([length, findJsonError(prefix)]).toEqual([length, length]);
  }
});

test("the place where a document breaks is named", () => {
  expect(messageFor("")).toBe("The body is not JSON: it is empty");
  expect(messageFor('{"requests":[')).toBe(
    "The body is not JSON: it ends unexpectedly at offset 13",
  );
  expect(messageFor("{'a':1}")).toBe(
    "The body is not JSON: unexpected text at offset 1: \"'a':1}\"",
  );
  const broken: [string, number][] = [
    ["[1,]", 3],
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ["[1 2]", 3],
    ["[01]", 2],
    ["nul!", 3],
    ['"\\x"', 1],
    ['"a\nb"', 2],
    ["1 2", 2],
    ["[1}", 2],
    ["-", 1],
    ["undefined", 0],
  ];
  for (const [text, offset] of broken) {
    expect([text, findJsonError(text)]).toEqual([text, offset]);
    expect(messageFor(text)).toContain(`at offset ${offset}`);
  }
});

test("whatever the engine refuses, the scanner refuses, and nothing else", () => {
  const alphabet = ['"', "\\", "{", "}", "[", "]", ",", ":", "1", "-", ".", "e", " ", "n", "null"];
  let seed = 1;
  const next = () => seed = (seed * 48271) % 0x7fffffff;
  let valid = 0;
  for (let i = 0; i < 50_000; i++) {
    let text = "";
    for (let length = next() % 6 + 1; length > 0; length--) {
      text += alphabet[next() % alphabet.length]!;
    }
    let parses = true;
    try {
      JSON.parse(text);
    } catch {
      parses = false;
    }
    if (parses) valid += 1;
    expect([text, findJsonError(text) === undefined]).toEqual([text, parses]);
  }
  expect(valid).toBeGreaterThan(100);
});

test("nesting beyond all sense is an error, not a crash", () => {
  expect(messageFor("[".repeat(2_000_000))).toContain("The body is not JSON");
});
