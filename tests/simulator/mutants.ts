/**
 * Mistakes that real systems made, or could have made here, as small changes of the source. Each
 * search text must occur exactly once. The simulator has to find every one of them.
 */
import { DRIVER } from "./mutants/driver.ts";
import { LOG } from "./mutants/log.ts";
import { MEMBERSHIP } from "./mutants/membership.ts";
import type { Mutant } from "./mutants/mutant.ts";
import { READS } from "./mutants/reads.ts";
import { REPLICATION } from "./mutants/replication.ts";
import { SNAPSHOTS } from "./mutants/snapshots.ts";
import { SQLITE } from "./mutants/sqlite.ts";
import { VOTES } from "./mutants/votes.ts";

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  ...VOTES,
  ...REPLICATION,
  ...MEMBERSHIP,
  ...READS,
  ...DRIVER,
  ...LOG,
  ...SNAPSHOTS,
  ...SQLITE,
];
