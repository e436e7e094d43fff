/** The consensus core of a node that starts: what its log holds, and how fast its time passes. */
import type { Random } from "./base/random.ts";
import type { SegmentLog } from "./log/segment_log.ts";
import type { RestoredEntry, RestoredState } from "./raft/options.ts";
import { Raft } from "./raft/raft.ts";
import type { LogIndex, NodeId } from "./raft/types.ts";

/** Length of one tick of consensus. */
export const TICK_MS = 50;
/** Ticks of silence, at least, before a follower stands for election: 0.5 s to 1 s. */
const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;

/** Which node starts. */
export interface StartingNode {
  readonly id: NodeId;
  readonly random: Random;
  /** Names this start of it, among all. */
  readonly bootId: number;
}

/**
 * The core over what was durable.
 *
 * @param commitIndex What is known to be committed, because the databases hold it.
 */
export function restoredRaft(
  { id, random, bootId }: StartingNode,
  log: SegmentLog,
  commitIndex: LogIndex,
): Raft {
  const restored = restoredState(log, bootId, commitIndex);
  return new Raft(
    { id, random, electionTicks: ELECTION_TICKS, heartbeatTicks: HEARTBEAT_TICKS },
    restored,
  );
}

/** What a core begins with; see {@linkcode restoredRaft}. */
export function restoredState(
  log: SegmentLog,
  bootId: number,
  commitIndex: LogIndex,
): RestoredState {
  return {
    hardState: log.hardState,
    firstIndex: log.firstIndex,
    entries: restoredEntries(log),
    baseIndex: log.baseIndex,
    baseTerm: log.baseTerm,
    baseConfiguration: log.baseConfiguration,
    commitIndex,
    recoveryNonce: log.recovering ? bootId : undefined,
  };
}

/** The entries that survived, without their payloads. */
function restoredEntries(log: SegmentLog): RestoredEntry[] {
  const entries: RestoredEntry[] = [];
  log.forEach((index, term, sizeBytes, configuration) => {
    entries.push({
      index,
      term,
      sizeBytes: configuration === undefined ? sizeBytes : 0,
      configuration,
    });
  });
  return entries;
}
