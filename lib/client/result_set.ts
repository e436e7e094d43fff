import type { ResultSet, Row, Value } from "./types.ts";

/** What a statement gave, before it takes the shape that users see. */
export interface RawResult {
  readonly columns: string[];
  /** Declared types; empty for an expression. */
  readonly columnTypes: string[];
  readonly rows: readonly (readonly Value[])[];
  readonly rowsAffected: number;
  readonly lastInsertRowid: bigint | undefined;
}

/** A result in the shape of `@libsql/client`. */
export function resultSet(raw: RawResult): ResultSet {
  const { columns, columnTypes, rowsAffected, lastInsertRowid } = raw;
  const rows = raw.rows.map(rowMaker(columns));
  return {
    columns,
    columnTypes,
    rows,
    rowsAffected,
    lastInsertRowid,
    toJSON: () => ({
      columns,
      columnTypes,
      rows: raw.rows.map((values) => values.map(valueToJson)),
      rowsAffected,
      lastInsertRowid: lastInsertRowid === undefined ? null : lastInsertRowid.toString(),
    }),
  };
}

/**
 * Makes rows that list their columns by name, and can also be read by position. Of columns with
 * the same name, the first has it.
 */
function rowMaker(columns: readonly string[]): (values: readonly Value[]) => Row {
  const simple = new Set(columns).size === columns.length && !columns.some(isSpecial);
  if (!simple) return (values) => definedRow(columns, values);
  // What is the same for all rows of a result stands once, on their prototype.
  const prototype = {};
  Object.defineProperty(prototype, "length", { value: columns.length });
  for (const [i, name] of columns.entries()) {
    Object.defineProperty(prototype, i, {
      get(this: Record<string, Value>) {
        return this[name];
      },
    });
  }
  return (values) => {
    const made: Record<string, Value> = Object.create(prototype);
    for (let i = 0; i < columns.length; i++) made[columns[i]!] = values[i]!;
    return made as unknown as Row;
  };
}

/** Names that mean something else to a plain object, or to a row. */
function isSpecial(name: string): boolean {
  return name in Object.prototype || name === "length" || /^\d+$/.test(name);
}

/** A row whose every property is set by itself. */
function definedRow(columns: readonly string[], values: readonly Value[]): Row {
  const made: Record<string | number, Value> = {};
  Object.defineProperty(made, "length", { value: values.length });
  for (let i = 0; i < values.length; i++) {
    Object.defineProperty(made, i, { value: values[i]! });
  }
  for (let i = 0; i < values.length; i++) {
    const name = columns[i]!;
    if (Object.hasOwn(made, name)) continue;
    Object.defineProperty(made, name, { value: values[i]!, enumerable: true, writable: true });
  }
  return made as unknown as Row;
}

function valueToJson(value: Value): unknown {
  if (typeof value === "bigint") return value.toString();
  return value instanceof ArrayBuffer ? new Uint8Array(value).toBase64() : value;
}
