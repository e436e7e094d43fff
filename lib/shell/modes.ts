/** The forms that results can take, as those of the sqlite3 shell; pure. */
import type { Value } from "../client/types.ts";
import { columnText, framedTable, FRAMES } from "./columnar.ts";
import {
  csvField,
  displayText,
  identifier,
  jsonText,
  quotedText,
  quoteText,
  sqlLiteral,
} from "./value_text.ts";

/** How results are shown. */
export interface Display {
  readonly mode: ModeName;
  /** Whether to show column names, where the mode leaves it open. */
  readonly headers: boolean;
  /** What stands for NULL, where the mode leaves it open. */
  readonly nullText: string;
  /** The table that `insert` writes to. */
  readonly table: string;
}

/** A result to show. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Value[])[];
}

type Render = (result: Rows, display: Display) => string;

/** The lowest width of the names in `line` mode. */
const LINE_NAME_WIDTH = 5;

/** Every mode: what it is, for the help, and how it shows a result that has rows. */
export const MODES = {
  box: { help: "Tables using unicode box-drawing characters", render: framed("box") },
  column: { help: "Output in columns", render: columnMode },
  csv: { help: "Comma-separated values", render: csvMode },
  insert: { help: "SQL insert statements for TABLE", render: insertMode },
  json: { help: "Results in a JSON array", render: jsonMode },
  jsonl: { help: "Each row as a JSON object on a line", render: jsonLinesMode },
  line: { help: "One value per line", render: lineMode },
  list: { help: 'Values delimited by "|"', render: separated("|") },
  markdown: { help: "Markdown table format", render: framed("markdown") },
  quote: { help: "Escape answers as for SQL", render: quoteMode },
  table: { help: "ASCII-art table", render: framed("table") },
  tabs: { help: "Tab-separated values", render: separated("\t") },
} as const satisfies Record<string, { readonly help: string; readonly render: Render }>;

/** The name of a mode. */
export type ModeName = keyof typeof MODES;

/** The names of all modes. */
export const MODE_NAMES = Object.keys(MODES) as readonly ModeName[];

/** Whether `name` is that of a mode. */
export function isMode(name: string): name is ModeName {
  return Object.hasOwn(MODES, name);
}

/** A result as text; empty when it has no rows. */
export function renderRows(result: Rows, display: Display): string {
  return result.rows.length === 0 ? "" : MODES[display.mode].render(result, display);
}

function separated(separator: string): Render {
  return ({ columns, rows }, { headers, nullText }) => {
    const lines = rows.map((row) => row.map((value) => displayText(value, nullText)));
    return joined(headers ? [columns, ...lines] : lines, separator, "\n");
  };
}

function csvMode({ columns, rows }: Rows, { headers, nullText }: Display): string {
  const field = (text: string) => csvField(text, ",");
  const lines = rows.map((row) =>
    row.map((value) => value === null ? nullText : field(displayText(value, "")))
  );
  return joined(headers ? [columns.map(field), ...lines] : lines, ",", "\r\n");
}

function quoteMode({ columns, rows }: Rows, { headers }: Display): string {
  const lines = rows.map((row) => row.map(quotedText));
  return joined(headers ? [columns.map(quoteText), ...lines] : lines, ",", "\n");
}

function insertMode({ columns, rows }: Rows, { headers, table }: Display): string {
  const names = headers ? `(${columns.map(identifier).join(",")})` : "";
  const start = `INSERT INTO ${identifier(table)}${names} VALUES(`;
  return rows.map((row) => `${start}${row.map(sqlLiteral).join(",")});\n`).join("");
}

function jsonMode(result: Rows): string {
  return `[${jsonObjects(result).join(",\n")}]\n`;
}

function jsonLinesMode(result: Rows): string {
  return jsonObjects(result).join("\n") + "\n";
}

function jsonObjects({ columns, rows }: Rows): string[] {
  const names = columns.map((name) => JSON.stringify(name));
  return rows.map((row) => `{${row.map((v, i) => `${names[i]}:${jsonText(v)}`).join(",")}}`);
}

function lineMode({ columns, rows }: Rows, { nullText }: Display): string {
  const width = Math.max(LINE_NAME_WIDTH, ...columns.map((name) => [...name].length));
  return rows.map((row) =>
    row.map((value, i) => {
      const indent = " ".repeat(width - [...columns[i]!].length);
      return `${indent}${columns[i]} = ${displayText(value, nullText)}\n`;
    }).join("")
  ).join("\n");
}

function columnMode({ columns, rows }: Rows, { headers, nullText }: Display): string {
  return columnText(columns, rows.map((row) => texts(row, nullText)), headers);
}

function framed(frame: keyof typeof FRAMES): Render {
  return ({ columns, rows }, { nullText }) =>
    framedTable(FRAMES[frame], columns, rows.map((row) => texts(row, nullText)));
}

function texts(row: readonly Value[], nullText: string): string[] {
  return row.map((value) => displayText(value, nullText));
}

function joined(
  lines: readonly (readonly string[])[],
  separator: string,
  end: string,
): string {
  return lines.map((line) => line.join(separator) + end).join("");
}
