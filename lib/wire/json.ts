/** JSON text, read with errors that say where it broke. */
import { DatabaseError, messageOf } from "../base/errors.ts";

/** Characters of the text around an error that its message shows. */
const EXCERPT_LENGTH = 24;

/**
 * Parses JSON.
 *
 * @param what Names the text in the error, such as `The body`.
 * @throws {DatabaseError} PROTOCOL, with the offset in characters where the text breaks the
 * grammar.
 */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DatabaseError("PROTOCOL", `${what} is not JSON: ${describe(text, error)}`, {
      cause: error,
    });
  }
}

function describe(text: string, error: unknown): string {
  if (text.length === 0) return "it is empty";
  const offset = findJsonError(text);
  // The engine refuses some texts for their nesting, which the grammar allows.
  if (offset === undefined) return messageOf(error);
  if (offset >= text.length) return `it ends unexpectedly at offset ${offset}`;
  const excerpt = JSON.stringify(text.slice(offset, offset + EXCERPT_LENGTH));
  return `unexpected text at offset ${offset}: ${excerpt}`;
}

/**
 * The offset of the first character at which `text` stops being JSON (RFC 8259); its length when
 * it ends too early; undefined when it is JSON. It uses no recursion, whatever the nesting. It is
 * only run on texts that the engine's parser refused, whose own messages differ between engines.
 */
export function findJsonError(text: string): number | undefined {
  const closers: string[] = [];
  let at = skipSpace(text, 0);
  for (;;) {
    // A value must start here.
    const character = text[at];
    if (character === "{" || character === "[") {
      const closer = character === "{" ? "}" : "]";
      at = skipSpace(text, at + 1);
      if (text[at] !== closer) {
        closers.push(closer);
        if (closer === "}") {
          const key = skipKey(text, at);
          if (!key.valid) return key.at;
          at = key.at;
        }
        continue;
      }
      at += 1;
    } else {
      const end = skipScalar(text, at);
      if (!end.valid) return end.at;
      at = end.at;
    }
    // A value ended here: close what it closes, or go on to the next member.
    for (;;) {
      at = skipSpace(text, at);
      const closer = closers.at(-1);
      if (closer === undefined) return at === text.length ? undefined : at;
      if (text[at] === closer) {
        closers.pop();
        at += 1;
        continue;
      }
      if (text[at] !== ",") return at;
      at = skipSpace(text, at + 1);
      if (closer === "}") {
        const key = skipKey(text, at);
        if (!key.valid) return key.at;
        at = key.at;
      }
      break;
    }
  }
}

/** Where a scan stopped: behind what was valid, or at the character that is not. */
interface Scan {
  readonly valid: boolean;
  readonly at: number;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && " \t\n\r".includes(text[at]!)) at += 1;
  return at;
}

/** Skips a member's name and colon, up to its value. */
function skipKey(text: string, start: number): Scan {
  if (text[start] !== '"') return { valid: false, at: start };
  const key = skipString(text, start);
  if (!key.valid) return key;
  const colon = skipSpace(text, key.at);
  if (text[colon] !== ":") return { valid: false, at: colon };
  return { valid: true, at: skipSpace(text, colon + 1) };
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** What could still become a number if more followed. */
const NUMBER_PREFIX = /-?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?/y;

function skipScalar(text: string, start: number): Scan {
  if (text[start] === '"') return skipString(text, start);
  for (const word of ["true", "false", "null"]) {
    if (text[start] === word[0]) return skipWord(text, start, word);
  }
  if (!/[-0-9]/.test(text[start] ?? "")) return { valid: false, at: start };
  const end = endOfMatch(NUMBER, text, start);
  const prefixEnd = endOfMatch(NUMBER_PREFIX, text, start);
  return { valid: end === prefixEnd, at: prefixEnd };
}

/** The offset behind what a sticky pattern matches at `start`; `start` when it does not match. */
function endOfMatch(pattern: RegExp, text: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(text) ? pattern.lastIndex : start;
}

function skipWord(text: string, start: number, word: string): Scan {
  for (let i = 0; i < word.length; i++) {
    if (text[start + i] !== word[i]) return { valid: false, at: start + i };
  }
  return { valid: true, at: start + word.length };
}

const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const ESCAPE_CUT_SHORT = /^\\(?:u[0-9a-fA-F]{0,3})?$/;

function skipString(text: string, start: number): Scan {
  let at = start + 1;
  while (at < text.length) {
    const character = text[at]!;
    if (character === '"') return { valid: true, at: at + 1 };
    if (character < " ") return { valid: false, at };
    if (character === "\\") {
      const end = endOfMatch(ESCAPE, text, at);
      if (end === at) {
        return { valid: false, at: ESCAPE_CUT_SHORT.test(text.slice(at)) ? text.length : at };
      }
      at = end;
    } else {
      at += 1;
    }
  }
  return { valid: false, at: text.length };
}
