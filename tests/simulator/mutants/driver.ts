/** Mistakes in the loop around the core. */
import { type Mutant, mutant } from "./mutant.ts";

const REPLICA = "lib/replica/replica.ts";

export const DRIVER: readonly Mutant[] = [
  mutant("what must wait for the sync is sent at once", [
    REPLICA,
    "    this.#log.append({ hardState, reset, truncateFrom, entries: append, recovered }, () => {",
    "    for (const outbound of sendOnSync.splice(0)) {\n" +
    "      sendOutbound(this.#log, this.#sender, outbound);\n    }\n" +
    "    this.#log.append({ hardState, reset, truncateFrom, entries: append, recovered }, () => {",
  ]),
  mutant("entries are applied before they are durable", [
    REPLICA,
    "    const target = Math.min(this.#raft.commitIndex, this.#log.durableIndex);",
    "    const target = this.#raft.commitIndex;",
  ]),
  mutant("pages are released before they are durable", [
    REPLICA,
    "      const safeIndex = Math.min(commitIndex, this.#log.durableIndex);",
    "      const safeIndex = commitIndex;",
  ]),
  mutant("a write is acknowledged when it is proposed", [
    REPLICA,
    "      this.#proposals.commit(commitIndex, (",
    "      this.#proposals.commit(this.#raft.lastIndex, (",
  ]),
  mutant("a lost leader takes nothing back", [
    REPLICA,
    "      if (!durable || !this.#machine.rewind(committed)) {",
    "      if (!durable || !this.#machine.rewind((id) => this.#machine.lastSeq(id))) {",
  ]),
  mutant("what stays after a rewind need not be durable", [
    REPLICA,
    "      const durable = this.#log.durableIndex >= this.#appliedIndex;",
    "      const durable = this.#appliedIndex >= 0;",
  ]),
  mutant("a write that was proposed is told to be refused", [
    "lib/replica/proposals.ts",
    "seq <= database.proposedSeq)",
    "seq <= database.committedSeq)",
  ]),
  mutant("a leader takes writes before its no-op is committed", [
    REPLICA,
    '    if (this.#mode !== "following" || raft.role !== "leader" || !raft.established) return;',
    '    if (this.#mode !== "following" || raft.role !== "leader") return;',
  ]),
  mutant("a write counts as part of the entry before its own", [
    REPLICA,
    "        this.#proposals.push(result.index, this",
    "        this.#proposals.push(result.index - 1, this",
  ]),
];
