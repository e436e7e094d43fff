/** A TypeScript file, taken apart as far as the rules of taste need it. */

/** A name of another file or module. */
export interface Reference {
  readonly specifier: string;
  readonly line: number;
}

/** One source file. */
export interface SourceFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and the insides of strings blanked out, line for line. */
  readonly code: string;
  /** Import and export declarations and `import("…")`. */
  readonly imports: readonly Reference[];
  /** Every string literal. */
  readonly strings: readonly Reference[];
}

/** Takes a file apart. */
export function parseSource(path: string, text: string): SourceFile {
  const { code, strings } = blank(text);
  const imports: Reference[] = [];
  for (const found of code.matchAll(/\b(?:from|import)\s*\(?\s*["']/g)) {
    const quote = found.index + found[0].length - 1;
    const end = code.indexOf(code[quote]!, quote + 1);
    imports.push({ specifier: text.slice(quote + 1, end), line: lineAt(text, quote) });
  }
  return { path, text, code, imports, strings };
}

/** The number, from 1, of the line that holds `offset`. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line++;
  }
  return line;
}

/** After these a slash begins a regular expression, not a division. */
const BEFORE_REGEXP = /(?:^|[=(,:;!&|?{}[+\-*%<>~^]|\b(?:return|typeof|case|in|of|await))$/;

function blank(text: string): { code: string; strings: Reference[] } {
  const out: string[] = [];
  const strings: Reference[] = [];
  /** For each open `${`, the number of braces open inside it. */
  const templates: number[] = [];
  let at = 0;
  const keep = (count: number) => {
    out.push(text.slice(at, at + count));
    at += count;
  };
  const hide = (end: number) => {
    out.push(text.slice(at, end).replace(/[^\n]/g, " "));
    at = end;
  };
  const template = () => {
    const end = endOf(text, at, /`|\$\{/y);
    strings.push({ specifier: text.slice(at, end), line: lineAt(text, at) });
    hide(end);
    if (text[at] === "`") keep(1);
    else {
      keep(2);
      templates.push(0);
    }
  };
  while (at < text.length) {
    const char = text[at]!;
    const two = text.slice(at, at + 2);
    if (two === "//") hide(endOf(text, at, /\n/y));
    else if (two === "/*") hide(text.indexOf("*/", at) + 2);
    else if (char === '"' || char === "'") {
      keep(1);
      const end = endOf(text, at, char === '"' ? /"/y : /'/y);
      strings.push({ specifier: text.slice(at, end), line: lineAt(text, at) });
      hide(end);
      keep(1);
    } else if (char === "`") {
      keep(1);
      template();
    } else if (char === "/" && BEFORE_REGEXP.test(out.join("").slice(-40).trimEnd())) {
      keep(1);
      hide(endOfRegexp(text, at));
    } else {
      const depth = templates.length - 1;
      if (char === "{" && depth >= 0) templates[depth]!++;
      if (char === "}" && depth >= 0 && templates[depth]!-- === 0) {
        templates.pop();
        keep(1);
        template();
      } else keep(1);
    }
  }
  return { code: out.join(""), strings };
}

/** Where `stop` first matches from `start` on, skipping what a backslash escapes. */
function endOf(text: string, start: number, stop: RegExp): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === "\\") {
      at++;
      continue;
    }
    stop.lastIndex = at;
    if (stop.test(text)) return at;
  }
  return text.length;
}

function endOfRegexp(text: string, start: number): number {
  let inClass = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "/" && !inClass) return at;
  }
  return text.length;
}
