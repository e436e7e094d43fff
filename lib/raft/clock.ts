/** Logical time: what a tick brings about in each role. */
import { onElectionTimeout } from "./election.ts";
import { announceCommit, broadcastHeartbeats } from "./heartbeat.ts";
import { renewLease } from "./lease.ts";
import { hasQuorum } from "./quorum.ts";
import { expireForwardedReads, startRound } from "./reads.ts";
import { becomeFollower } from "./role.ts";
import { configurationOf, isStalled, type Leadership, type State } from "./state.ts";
import { resign, tickTransfer } from "./transfer.ts";

/** Lets one tick pass. */
export function tickState(state: State): void {
  state.tick++;
  const { leadership } = state;
  if (leadership !== undefined) {
    tickLeader(state, leadership);
    return;
  }
  expireForwardedReads(state);
  state.electionElapsed++;
  if (state.electionElapsed >= state.electionTimeout) onElectionTimeout(state);
}

function tickLeader(state: State, leadership: Leadership): void {
  for (const peer of leadership.peers) {
    if (!peer.isActive(state.tick, state.electionTicks)) peer.caughtUp = false;
  }
  if (!isHeard(state, leadership)) {
    becomeFollower(state, state.term, undefined);
    return;
  }
  if (isStalled(state) && !isAlone(state)) {
    resign(state, leadership);
    return;
  }
  tickTransfer(state, leadership);
  leadership.heartbeatElapsed++;
  if (leadership.heartbeatElapsed < state.heartbeatTicks) {
    announceCommit(state, leadership);
    return;
  }
  startRound(state, leadership);
  // The round's own heartbeats are as good.
  if (leadership.heartbeatElapsed === 0) return;
  renewLease(state, leadership);
  broadcastHeartbeats(state, leadership);
}

/**
 * Whether a quorum answered within an election timeout. A leader that is cut off steps down, so
 * that its clients learn of it (thesis, §6.2).
 */
function isHeard(state: State, leadership: Leadership): boolean {
  if (state.tick - leadership.startTick < state.electionTicks) return true;
  const { progress } = leadership;
  return hasQuorum(
    configurationOf(state),
    (id) => id === state.id || progress.get(id)?.isActive(state.tick, state.electionTicks) === true,
  );
}

/** Whether this node decides by itself: then nobody could take over. */
function isAlone(state: State): boolean {
  return hasQuorum(configurationOf(state), (id) => id === state.id);
}
