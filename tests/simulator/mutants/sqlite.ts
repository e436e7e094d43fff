/** Mistakes that show only over real SQLite. */
import { type Mutant, sqliteMutant } from "./mutant.ts";

const SQLITE_MACHINE = "lib/replica/sqlite_machine.ts";

export const SQLITE: readonly Mutant[] = [
  sqliteMutant("the WAL of an earlier run is used", [
    SQLITE_MACHINE,
    "if (this.#disk.exists(stale)) this.#disk.remove(stale);",
    "assert(stale.startsWith(path), stale);",
  ]),
  sqliteMutant("nobody knows of a checkpoint that was cut off", [
    SQLITE_MACHINE,
    "    this.#writeRecord({ completeIndex: this.#record.completeIndex, fuzzyIndex: index });",
    "    assert(index > 0, `checkpoint at ${index}`);",
  ]),
  sqliteMutant("nothing is taken back when leadership is lost", [
    SQLITE_MACHINE,
    "this.#opened().rewind(seq)",
    "this.#opened().rewind(Math.max(seq, this.lastSeq()))",
  ]),
  sqliteMutant("an open transaction outlives leadership", [
    "lib/session/executor.ts",
    "    for (const { connection } of this.#streams.values()) connection.close();\n",
    "",
  ]),
  sqliteMutant("parts of a batch are applied backwards", [
    SQLITE_MACHINE,
    "  return parts.reverse();",
    "  return parts;",
  ]),
  sqliteMutant("a new office goes on with the batch of the last one", [
    SQLITE_MACHINE,
    "  lead(): number {\n    this.#first = true;\n",
    "  lead(): number {\n",
  ]),
];
