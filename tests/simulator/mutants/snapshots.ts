/** Mistakes in snapshots, and in what of the log may go. */
import { type Mutant, mutant } from "./mutant.ts";

const COMPACTION = "lib/replica/compaction.ts";
const INSTALL = "lib/replica/snapshot_install.ts";
const SNAPSHOT = "lib/raft/snapshot.ts";
const SOURCE = "lib/replica/snapshot_source.ts";

export const SNAPSHOTS: readonly Mutant[] = [
  mutant("a snapshot keeps a suffix that does not fit", [
    SNAPSHOT,
    "    if (state.log.termAt(base.index) === base.term) commitByHint",
    "    if (state.log.lastIndex >= base.index) commitTo(state, base.index);\n" +
    "    else if (state.commitIndex < 0) commitByHint",
  ], [
    INSTALL,
    "    const isKept = base.index <= raft.commitIndex || raft.termAt(base.index) === base.term;",
    "    const isKept = base.index <= raft.lastIndex;",
  ]),
  mutant("a snapshot replaces what is newer", [
    INSTALL,
    "    return Math.max(1, log.baseIndex, mayGoBack ? 1 : appliedIndex);",
    "    return Math.max(1, log.baseIndex, mayGoBack ? 1 : 0);",
  ], [
    INSTALL,
    "    if (!raft.lacksSnapshot || base.index < this.#least()) return",
    "    if (base.index < 1) return",
  ], [
    INSTALL,
    "      if (raft.lacksSnapshot) this.#copy(proceed);\n      else this.#abandon();",
    "      this.#copy(proceed);",
  ]),
  mutant("a snapshot comes without its configuration", [
    "lib/raft/state.ts",
    "  const { index, configuration } = base;\n",
    "  const { index } = base;\n  const { configuration } = state.configurations.latest;\n",
  ]),
  mutant("a snapshot claims a checkpoint that is under way", [
    SOURCE,
    "    const base = log.baseAt(boundaryIndex(machine.checkpointIndex, log, machine));",
    "    const base = log.baseAt(boundaryIndex(machine.consistentIndex, log, machine));",
  ]),
  mutant("a snapshot begins inside a batch in parts", [
    SOURCE,
    "    const base = log.baseAt(boundaryIndex(machine.checkpointIndex, log, machine));",
    "    const base = log.baseAt(machine.checkpointIndex);",
  ]),
  mutant("a snapshot counts as whole before the entries that make it so", [
    INSTALL,
    "      this.#options.machine.completeInstall(base, fuzzyIndex, databases);",
    "      const whole = Math.min(base.index, fuzzyIndex);\n" +
    "      this.#options.machine.completeInstall(base, whole, databases);",
  ]),
  mutant("entries are taken while the database is away", [
    INSTALL,
    "    return !away && !this.isPending;",
    "    return !away || !this.isPending;",
  ]),
  mutant("an entry behind a snapshot is offered as the log's base", [
    "lib/raft/replication.ts",
    "    const { baseIndex } = log;\n",
    "    const baseIndex = Math.min(log.baseIndex + 1, log.lastIndex);\n",
  ]),
  mutant("an unfinished checkpoint lets the log go", [
    COMPACTION,
    "  const complete = machine.checkpointIndex;",
    "  const complete = machine.consistentIndex;",
  ]),
  mutant("a compaction cuts a batch in parts", [
    COMPACTION,
    "  const boundary = boundaryIndex(complete, log, machine);",
    "  const boundary = complete;",
  ], [
    COMPACTION,
    "    const boundary = boundaryIndex(index, log, machine);",
    "    const boundary = index;",
  ]),
  mutant("a compaction forgets what is not known to be committed", [
    COMPACTION,
    "  let index = log.prefixEnd(Math.min(compactionIndex(options), raft.commitIndex));",
    "  let index = log.prefixEnd(compactionIndex(options));",
  ]),
];
