/**
 * What of the log may go: what the last complete checkpoint holds, less a trailing part for nodes
 * that are a little behind, and never what somebody is about to need.
 */
import { LOG_TRAILING_BYTES, LOG_TRAILING_ENTRIES } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import type { Raft } from "../raft/raft.ts";
import type { LogIndex } from "../raft/types.ts";
import { boundaryIndex } from "./batch_boundary.ts";
import type { LogPins } from "./log_pins.ts";
import type { StateMachine } from "./state_machine.ts";

/** What is left behind a checkpoint; the smaller one of the two counts. */
export interface Trailing {
  readonly entries: number;
  readonly bytes: number;
}

const TRAILING: Trailing = { entries: LOG_TRAILING_ENTRIES, bytes: LOG_TRAILING_BYTES };

/** What a compaction works with. */
export interface CompactionOptions {
  readonly raft: Pick<Raft, "commitIndex" | "onCompacted">;
  readonly log: RaftLog;
  readonly machine: StateMachine;
  readonly pins: Pick<LogPins, "lowest">;
  readonly clock: Clock;
  readonly trailing?: Trailing;
}

/** The last entry that may go; at most the log's base when nothing may. */
export function compactionIndex(options: Omit<CompactionOptions, "raft">): LogIndex {
  const { log, machine, pins, clock, trailing = TRAILING } = options;
  const complete = machine.checkpointIndex;
  // While a snapshot comes, what is there is on its way out, or is applied again behind it.
  const isAway = machine.installing || machine.diverged !== undefined;
  if (isAway || complete <= log.baseIndex || complete > log.durableIndex) {
    return log.baseIndex;
  }
  const boundary = boundaryIndex(complete, log, machine);
  let index = boundary;
  let bytes = 0;
  while (index > log.baseIndex && boundary - index < trailing.entries) {
    bytes += log.bodySizeBytes(index);
    if (bytes > trailing.bytes) break;
    index--;
  }
  return Math.min(index, pins.lowest(clock.nowMs()));
}

/** Gives up what may go, in whole segments. Returns whether anything went. */
export function compactLog(options: CompactionOptions): boolean {
  const { raft, log, machine } = options;
  const { baseIndex } = log;
  // A node whose log was cut at damage does not know yet that what it applied is committed.
  let index = log.prefixEnd(Math.min(compactionIndex(options), raft.commitIndex));
  for (;;) {
    if (index <= baseIndex) return false;
    // A log that began inside a batch in parts would lack what no snapshot begins with.
    const boundary = boundaryIndex(index, log, machine);
    if (boundary === index) break;
    index = log.prefixEnd(boundary);
  }
  log.truncatePrefix(index);
  if (log.baseIndex === baseIndex) return false;
  raft.onCompacted(log.firstIndex);
  return true;
}
