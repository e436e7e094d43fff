/** Commands about what is in the database. */
import { nameColumns } from "./columns.ts";
import { creation, dump } from "./dump.ts";
import { type DotCommand, ShellError, type ShellHost } from "./host.ts";
import { displayText, identifier } from "./value_text.ts";

const NOT_INTERNAL = `name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`;

/** Commands about what is in the database. */
export const SCHEMA_COMMANDS: readonly DotCommand[] = [
  {
    name: "tables",
    usage: "[PATTERN]",
    help: "List names of tables and views matching LIKE pattern PATTERN",
    async run(shell, [pattern = "%"]) {
      const sql = `SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')
        AND ${NOT_INTERNAL} AND name LIKE ? ORDER BY 1`;
      shell.print(nameColumns(await texts(shell, sql, pattern)));
    },
  },
  {
    name: "schema",
    usage: "[PATTERN]",
    help: "Show the CREATE statements of objects whose table matches PATTERN",
    run: (shell, [pattern]) => printSchema(shell, pattern ?? "%"),
  },
  {
    name: "indexes",
    usage: "[PATTERN]",
    help: "Show names of indexes of tables matching PATTERN",
    async run(shell, [pattern = "%"]) {
      const sql = `SELECT name FROM sqlite_schema WHERE type = 'index'
        AND ${NOT_INTERNAL} AND tbl_name LIKE ? ORDER BY 1`;
      shell.print(nameColumns(await texts(shell, sql, pattern)));
    },
  },
  {
    name: "dump",
    usage: "[PATTERN]",
    help: "Render database content as SQL, of tables matching PATTERN",
    async run(shell, args) {
      if (args.length > 1) throw new ShellError("Usage: .dump [PATTERN]");
      await dump(shell, args[0] ?? "%");
    },
  },
];

async function printSchema(shell: ShellHost, pattern: string): Promise<void> {
  const { rows } = await shell.query(
    `SELECT type, name, sql FROM sqlite_schema
      WHERE sql IS NOT NULL AND tbl_name LIKE ? ORDER BY rowid`,
    [pattern],
  );
  for (const [type, name, sql] of rows) {
    const text = String(sql);
    const columnsMatter = type === "view" || /^CREATE VIRTUAL TABLE/i.test(text);
    const note = columnsMatter ? await columnNote(shell, String(name)) : "";
    shell.print(`${creation(text)}${note};\n`);
  }
}

/** The columns of what does not name them itself, as a comment. */
async function columnNote(shell: ShellHost, table: string): Promise<string> {
  const names = await texts(shell, "SELECT name FROM pragma_table_info(?)", table);
  return `\n/* ${identifier(table)}(${names.map(identifier).join(",")}) */`;
}

async function texts(shell: ShellHost, sql: string, arg: string): Promise<string[]> {
  const { rows } = await shell.query(sql, [arg]);
  return rows.map(([name]) => displayText(name!, ""));
}
