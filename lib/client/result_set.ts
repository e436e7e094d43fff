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
  const rows = raw.rows.map((values) => row(columns, values));
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
 * A row that lists its columns by name, and can also be read by position. Of columns with the same
 * name, the first has it.
 */
function row(columns: readonly string[], values: readonly Value[]): Row {
  const made: Record<string | number, Value> = {};
  Object.defineProperty(made, "length", { value: values.length });
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    Object.defineProperty(made, i, {
      value,
      enumerable: false,
      writable: true,
      configurable: true,
    });
    const name = columns[i]!;
    if (Object.hasOwn(made, name)) continue;
    Object.defineProperty(made, name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return made as unknown as Row;
}

function valueToJson(value: Value): unknown {
  if (typeof value === "bigint") return value.toString();
  return value instanceof ArrayBuffer ? new Uint8Array(value).toBase64() : value;
}
