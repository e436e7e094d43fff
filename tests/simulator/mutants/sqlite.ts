/** Mistakes that show only over real SQLite. */
import { type Mutant, sqliteMutant } from "./mutant.ts";

const DATABASE = "lib/replica/replicated_database.ts";
const SQLITE_MACHINE = "lib/replica/sqlite_machine.ts";

export const SQLITE: readonly Mutant[] = [
  sqliteMutant("the WAL of an earlier run is used", [
    "lib/replica/database_folder.ts",
    "this.#remove(stale);",
    "assert(stale.startsWith(path), stale);",
  ]),
  sqliteMutant("nobody knows of a checkpoint that was cut off", [
    SQLITE_MACHINE,
    "    this.#checkpoint.update(completeIndex, Math.max(index, fuzzyIndex));\n    if (ids.length",
    "    assert(fuzzyIndex >= completeIndex);\n    if (ids.length",
  ]),
  sqliteMutant("nothing is taken back when leadership is lost", [
    DATABASE,
    "this.#handle.rewind(seq)",
    "this.#handle.rewind(Math.max(seq, this.lastSeq))",
  ]),
  sqliteMutant("an open transaction outlives leadership", [
    "lib/session/executor.ts",
    "    for (const { connection } of this.#streams.values()) connection.close();\n",
    "",
  ]),
  sqliteMutant("parts of a batch are applied backwards", [
    DATABASE,
    "  return parts.reverse();",
    "  return parts;",
  ]),
  sqliteMutant("a new office goes on with the batch of the last one", [
    DATABASE,
    "  lead(): void {\n    this.#first = true;\n",
    "  lead(): void {\n",
  ]),
];
