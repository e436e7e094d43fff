/** Results as tables of characters: column, table, box, markdown; pure. */
import { textWidth } from "./width.ts";

/** The characters of a table's frame. */
export interface Frame {
  /** Left end, crossing and right end of the line above the header; undefined for no line. */
  readonly top: readonly [string, string, string] | undefined;
  readonly middle: readonly [string, string, string];
  readonly bottom: readonly [string, string, string] | undefined;
  readonly horizontal: string;
  readonly vertical: string;
}

/** Frames by mode. */
export const FRAMES = {
  table: {
    top: ["+", "+", "+"],
    middle: ["+", "+", "+"],
    bottom: ["+", "+", "+"],
    horizontal: "-",
    vertical: "|",
  },
  box: {
    top: ["┌", "┬", "┐"],
    middle: ["├", "┼", "┤"],
    bottom: ["└", "┴", "┘"],
    horizontal: "─",
    vertical: "│",
  },
  markdown: {
    top: undefined,
    middle: ["|", "|", "|"],
    bottom: undefined,
    horizontal: "-",
    vertical: "|",
  },
} as const satisfies Record<string, Frame>;

/** Cells between two stops of a tab. */
const TAB_CELLS = 8;

/** A table in a frame. Rows with several lines are set apart by lines of the frame. */
export function framedTable(
  frame: Frame,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const { header, cells, widths } = layOut(columns, rows);
  const rule = ([left, cross, right]: readonly [string, string, string]) =>
    left + widths.map((width) => frame.horizontal.repeat(width + 2)).join(cross) + right + "\n";
  const bar = frame.vertical;
  const line = (parts: readonly string[]) => `${bar} ${parts.join(` ${bar} `)} ${bar}\n`;
  let text = frame.top === undefined ? "" : rule(frame.top);
  for (const parts of tall(header)) text += line(parts.map((part, i) => centred(part, widths[i]!)));
  text += rule(frame.middle);
  // Markdown has no lines between rows.
  const apart = frame.bottom !== undefined && cells.some((row) => height(row) > 1);
  for (const [r, row] of cells.entries()) {
    if (apart && r > 0) text += rule(frame.middle);
    for (const parts of tall(row)) text += line(parts.map((part, i) => padded(part, widths[i]!)));
  }
  return text + (frame.bottom === undefined ? "" : rule(frame.bottom));
}

/** Columns two spaces apart, under a header or without. */
export function columnText(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  headers: boolean,
): string {
  const { header, cells, widths } = layOut(columns, rows);
  const lines = (row: readonly (readonly string[])[]) =>
    tall(row).map((parts) => parts.map((part, i) => padded(part, widths[i]!)).join("  ") + "\n");
  let text = "";
  if (headers) {
    text += lines(header).join("");
    text += widths.map((width) => "-".repeat(width)).join("  ") + "\n";
  }
  const apart = cells.some((row) => height(row) > 1);
  for (const [r, row] of cells.entries()) {
    text += (apart && r > 0 ? "\n" : "") + lines(row).join("");
  }
  return text;
}

/** Splits every cell into lines, and measures the columns. */
function layOut(columns: readonly string[], rows: readonly (readonly string[])[]) {
  const header = columns.map(cellLines);
  const cells = rows.map((row) => row.map(cellLines));
  const widths = columns.map((_, i) => {
    let width = 0;
    for (const row of [header, ...cells]) {
      for (const line of row[i]!) width = Math.max(width, textWidth(line));
    }
    return width;
  });
  return { header, cells, widths };
}

/** The lines of a cell: every control character ends one, tabs become spaces. */
function cellLines(text: string): string[] {
  // deno-lint-ignore no-control-regex
  const lines = text.split(/\r\n|[\x00-\x08\x0a-\x1f]/);
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  return lines.map(expandTabs);
}

function expandTabs(line: string): string {
  const [first = "", ...rest] = line.split("\t");
  let text = first;
  for (const part of rest) {
    text += " ".repeat(TAB_CELLS - textWidth(text) % TAB_CELLS) + part;
  }
  return text;
}

/** Turns cells of several lines into lines of several cells. */
function tall(row: readonly (readonly string[])[]): string[][] {
  return Array.from({ length: height(row) }, (_, line) => row.map((cell) => cell[line] ?? ""));
}

function height(row: readonly (readonly string[])[]): number {
  return Math.max(1, ...row.map((cell) => cell.length));
}

function padded(text: string, width: number): string {
  return text + " ".repeat(width - textWidth(text));
}

function centred(text: string, width: number): string {
  const room = width - textWidth(text);
  const left = Math.floor(room / 2);
  return " ".repeat(left) + text + " ".repeat(room - left);
}
