/** Mistakes in linearizable reads. */
import { type Mutant, mutant } from "./mutant.ts";

const READS_FILE = "lib/raft/reads.ts";
const REPLICA = "lib/replica/replica.ts";

export const READS: readonly Mutant[] = [
  mutant("a new leader answers reads before its no-op is committed", [
    READS_FILE,
    "  if (!leadership.established || reads.waiting.length === 0) return false;",
    "  if (reads.waiting.length === 0) return false;",
  ]),
  mutant("a leader does not confirm that it leads", [
    READS_FILE,
    "  if (hasQuorum(configurationOf(state), (id) => id === state.id)) {",
    "  if (hasQuorum(configurationOf(state), (id) => id >= 0)) {",
  ]),
  mutant("an answer to an earlier round confirms a later one", [
    "lib/raft/replication.ts",
    "    peer.confirmedRound = round;",
    "    peer.confirmedRound = state.reads.round;",
  ]),
  mutant("a follower reads before it applied", [
    REPLICA,
    "    if (this.#appliedIndex >= index && this.readable) callback();",
    "    if (this.readable) callback();",
  ]),
];
