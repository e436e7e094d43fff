/**
 * Where statements end; pure. Text comes in line by line, as it is typed. A line that begins with
 * a dot, outside of a statement, is a command of the shell.
 */

/** One thing to run. */
export interface Input {
  readonly type: "statement" | "command";
  /** The statement with its semicolon, or the command with its dot. */
  readonly text: string;
  /** The line on which it begins, from 1. */
  readonly line: number;
}

/** A piece of SQL text, as far as the ends of statements are concerned. */
interface Token {
  readonly type: "space" | "semicolon" | "word" | "other" | "open";
  readonly end: number;
}

/** Collects lines, and gives out what is complete. */
export class InputReader {
  /** The text of the statement that is not complete yet. */
  #pending = "";
  #line = 0;
  /** The line on which the pending text begins. */
  #startLine = 1;
  /** Whether a statement has begun, so that nothing but a semicolon changes anything. */
  #begun = false;

  /** The text of the statement that waits for its end; empty when there is none. */
  get pending(): string {
    return this.#pending;
  }

  /** The number of the last line. */
  get line(): number {
    return this.#line;
  }

  /** Takes in one line, without its newline. */
  push(line: string): Input[] {
    this.#line++;
    if (this.#pending === "") {
      this.#startLine = this.#line;
      if (line.startsWith(".")) {
        return [{ type: "command", text: line.trim(), line: this.#line }];
      }
    }
    this.#pending += `${line}\n`;
    return this.#begun && !line.includes(";") ? [] : this.#take();
  }

  /** What is left at the end of the input, complete or not. */
  finish(): Input[] {
    const { statements, rest, restLine } = splitStatements(this.#pending, this.#startLine);
    this.discard();
    if (!hasCode(rest)) return statements;
    return [...statements, { type: "statement", text: rest.trim(), line: restLine }];
  }

  /** Forgets the statement that is not complete. */
  discard(): void {
    this.#pending = "";
    this.#begun = false;
  }

  #take(): Input[] {
    const { statements, rest, restLine } = splitStatements(this.#pending, this.#startLine);
    // Comments alone do not begin a statement, unless they are still open.
    this.#begun = hasCode(rest);
    this.#pending = this.#begun || isOpen(rest) ? rest : "";
    this.#startLine = restLine;
    return statements;
  }
}

/** The complete statements of a text, and what follows the last one. */
export function splitStatements(text: string, firstLine = 1): {
  readonly statements: Input[];
  readonly rest: string;
  readonly restLine: number;
} {
  const statements: Input[] = [];
  let start = 0;
  let line = firstLine;
  let ends = new StatementEnd();
  for (let at = 0; at < text.length;) {
    const token = nextToken(text, at);
    const word = token.type === "word" ? text.slice(at, token.end).toUpperCase() : token.type;
    at = token.end;
    if (!ends.push(word)) continue;
    const piece = text.slice(start, at);
    if (hasCode(piece)) {
      statements.push({ type: "statement", text: piece.trim(), line: line + leadingLines(piece) });
    }
    line += newlines(piece);
    start = at;
    ends = new StatementEnd();
  }
  const rest = text.slice(start);
  const lead = leadingLines(rest);
  return { statements, rest: rest.trimStart(), restLine: line + lead };
}

/** Whether a text is more than spaces, comments and semicolons. */
export function hasCode(text: string): boolean {
  for (let at = 0; at < text.length;) {
    const token = nextToken(text, at);
    if (token.type === "word" || token.type === "other") return true;
    // An unclosed string is code; an unclosed comment is not.
    if (token.type === "open") return !text.startsWith("/*", at);
    at = token.end;
  }
  return false;
}

/** A statement on one line, for the history: comments to the end of a line are left out. */
export function oneLine(sql: string): string {
  let text = "";
  for (let at = 0; at < sql.length;) {
    const { type, end } = nextToken(sql, at);
    const piece = sql.slice(at, end);
    if (type !== "space" || piece.startsWith("/*")) text += piece;
    else if (!text.endsWith(" ")) text += " ";
    at = end;
  }
  return text.trim();
}

/**
 * Tells whether a semicolon ends the statement: inside of CREATE TRIGGER only the one after END
 * does.
 */
class StatementEnd {
  #words: string[] = [];
  /** Inside of the body of a trigger: whether END came, and then a semicolon would end it. */
  #trigger = false;
  #afterSemicolon = false;
  #afterEnd = false;

  /** Takes a word in upper case, or the type of another token. @returns Whether it ends here. */
  push(token: string): boolean {
    if (token === "space") return false;
    if (token === "semicolon") {
      if (!this.#trigger || this.#afterEnd) return true;
      this.#afterSemicolon = true;
      return false;
    }
    this.#afterEnd = this.#trigger && this.#afterSemicolon && token === "END";
    this.#afterSemicolon = false;
    if (!this.#trigger && this.#words.length < 6) {
      this.#words.push(token);
      this.#trigger = /^(?:EXPLAIN (?:QUERY PLAN )?)?CREATE (?:TEMP |TEMPORARY )?TRIGGER$/
        .test(this.#words.join(" "));
    }
    return false;
  }
}

const SPACE = /\s+/y;
const WORD = /[A-Za-z_0-9$\u0080-\uffff]+/y;

/** The token at `at`. It is `open` when the text ends inside of it. */
function nextToken(text: string, at: number): Token {
  const char = text[at]!;
  if (char === ";") return { type: "semicolon", end: at + 1 };
  if (text.startsWith("--", at)) {
    const end = text.indexOf("\n", at);
    return { type: "space", end: end < 0 ? text.length : end };
  }
  if (text.startsWith("/*", at)) return closed(text, at, "*/", 2, "space");
  if (char === "'" || char === '"' || char === "`") return closed(text, at, char, 1, "other");
  if (char === "[") return closed(text, at, "]", 1, "other");
  const space = match(SPACE, text, at);
  if (space > at) return { type: "space", end: space };
  const word = match(WORD, text, at);
  return word > at ? { type: "word", end: word } : { type: "other", end: at + 1 };
}

function closed(
  text: string,
  at: number,
  close: string,
  opening: number,
  type: Token["type"],
): Token {
  const end = text.indexOf(close, at + opening);
  return end < 0 ? { type: "open", end: text.length } : { type, end: end + close.length };
}

function isOpen(text: string): boolean {
  for (let at = 0; at < text.length;) {
    const token = nextToken(text, at);
    if (token.type === "open") return true;
    at = token.end;
  }
  return false;
}

function match(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

function newlines(text: string): number {
  return text.split("\n").length - 1;
}

/** The newlines before the first thing that is not a space. */
function leadingLines(text: string): number {
  return newlines(text.slice(0, text.length - text.trimStart().length));
}
