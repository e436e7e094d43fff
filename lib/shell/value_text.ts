/** SQL values as text, in the forms of the sqlite3 shell; pure. */
import type { Value } from "../client/types.ts";
import { KEYWORDS } from "./keywords.ts";
import { realText } from "./real_text.ts";

/** Significant digits of a REAL that people read. */
const DISPLAY_DIGITS = 15;
/** Significant digits of a REAL that is to be read back. */
const EXACT_DIGITS = 20;

const decoder = new TextDecoder();

/** A value for people: as SQLite would cast it to text. Text ends at a NUL, as it does in C. */
export function displayText(value: Value, nullText: string): string {
  if (value === null) return nullText;
  if (typeof value === "number") return realText(value, DISPLAY_DIGITS);
  if (typeof value === "bigint") return value.toString();
  return untilNul(typeof value === "string" ? value : decoder.decode(value));
}

/** A value as SQL, except that an infinity has no literal. */
export function quotedText(value: Value): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return realText(value, EXACT_DIGITS);
  if (typeof value === "bigint") return value.toString();
  return typeof value === "string" ? quoteText(untilNul(value)) : blobLiteral(value);
}

/** A value as SQL that a line-based reader can read back: newlines are spelt out. */
export function sqlLiteral(value: Value): string {
  if (typeof value === "number" && !Number.isFinite(value)) {
    return Number.isNaN(value) ? "NULL" : value < 0 ? "-1e999" : "1e999";
  }
  if (typeof value !== "string") return quotedText(value);
  return spelledOut(untilNul(value));
}

/** A value as JSON. */
export function jsonText(value: Value): string {
  if (value === null) return "null";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") {
    if (Number.isNaN(value)) return "null";
    if (!Number.isFinite(value)) return value < 0 ? "-1e999" : "1e999";
    return realText(value, EXACT_DIGITS);
  }
  return JSON.stringify(typeof value === "string" ? value : decoder.decode(value));
}

/** A name as SQL, quoted only where it must be. */
export function identifier(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !KEYWORDS.has(name.toUpperCase())) return name;
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as SQL. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A text as one field of CSV, by the rules of the sqlite3 shell. */
export function csvField(text: string, separator: string): string {
  // deno-lint-ignore no-control-regex
  const plain = text !== "" && !/[\x00-\x20"'\x7f-\uffff]/.test(text) && !text.includes(separator);
  return plain ? text : `"${text.replaceAll('"', '""')}"`;
}

function blobLiteral(value: ArrayBuffer): string {
  return `X'${new Uint8Array(value).toHex()}'`;
}

/** Newlines as `replace('a\nb','\n',char(10))`, so that each statement stays on one line. */
function spelledOut(text: string): string {
  let body = text;
  let calls = "";
  let opened = "";
  for (const [char, code, short, long] of LINE_ENDS) {
    if (!text.includes(char)) continue;
    const stand = text.includes(short) ? long : short;
    body = body.replaceAll(char, stand);
    opened = `replace(${opened}`;
    calls += `,'${stand}',char(${code}))`;
  }
  return `${opened}${quoteText(body)}${calls}`;
}

const LINE_ENDS = [
  ["\r", 13, "\\r", "\\015"],
  ["\n", 10, "\\n", "\\012"],
] as const;

function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}
