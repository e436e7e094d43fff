/**
 * A node whose log was cut at damage: term and vote are certain, but it may have acknowledged
 * entries that it does not hold any more. Until that is made good it is *recovering*: it does not
 * campaign, its vote is *weak*, and what it holds counts for nothing. It follows, appends and
 * answers.
 *
 * A weak vote counts as a vote, so that a term has one leader, but vouches for no log: it is given
 * without a look at what is left of the own one. Whoever is elected needs a voter that vouches in
 * each quorum that may have committed something. A majority of an odd number meets every other one,
 * so weak votes change nothing there. With an even number they do: of two voters, the one that is
 * whole can lead, and the other becomes whole again.
 *
 * ```
 *   follower ── any answer, with its nonce ─────────────▶ leader   notes L, where its log ends
 *            ◀── appends, with that nonce and L ─────────
 *   matches through L, durably and so that a restart knows: an ordinary follower again
 * ```
 *
 * Why that is enough. Let `e` be an entry that was, or will be, committed with the help of an
 * acknowledgement of ours that is lost, to the leader of term X. We follow a leader of term T. As
 * our own term was kept, X ≤ T.
 * - X = T: the leader appended `e` itself, before we acknowledged it, so before this start. It
 *   noted L after this start, which the nonce proves, so `e` is within L.
 * - X < T, and our vote, given before the damage, helped to elect the leader of T: at that moment
 *   we held `e`, and voted only for a log as up-to-date as ours.
 * - X < T, and our vote did not help, or was weak: among those that vouched for the leader of T
 *   there is a node other than us that commits `e`, so that leader holds `e` as always (Raft,
 *   §5.4.3). It keeps what it has, so `e` is within L.
 * So a log that matches the leader's through L holds every such `e`; and as nobody was elected
 * because of what is left of our log, nothing else depends on what we had forgotten. Another leader
 * begins anew.
 *
 * A term that may be lost could not be mended so. With five nodes: we voted for C in term t, and
 * forget it; the leader A of an earlier term counts us, and commits with B and us; C leads t with D
 * and our old vote, and neither of them holds what A committed. That is why a log is cut only when
 * term and vote are certain (`lib/log/recovery_table.ts`).
 *
 * Answers to heartbeats confirm reads and leases all the same: they only say that the node is in no
 * later term, which its durable term shows, and that it helps nobody to be elected, which is so.
 */
import type { Progress } from "./progress.ts";
import { type State, writeRecovered } from "./state.ts";
import type { LogIndex, RecoveryStatement } from "./types.ts";

/** Follower: the leader of the current term sent this with an append. */
export function noteStatement(state: State, statement: RecoveryStatement | undefined): void {
  const { recovery, term } = state;
  if (recovery === undefined) return;
  const { nonce } = recovery;
  const inTerm = recovery.term === term ? recovery : { nonce, term, goalIndex: undefined };
  const isNew = statement?.nonce === nonce && inTerm.goalIndex === undefined;
  state.recovery = isNew ? { ...inTerm, goalIndex: statement.lastIndex } : inTerm;
}

/** Follower: what the log holds up to `matchIndex` is what the leader's log holds. */
export function noteMatch(state: State, matchIndex: LogIndex): void {
  const goalIndex = state.recovery?.goalIndex;
  if (goalIndex === undefined || matchIndex < goalIndex) return;
  state.recovery = undefined;
  // What is sent from now on waits until this is durable, and everything before it.
  writeRecovered(state);
}

/**
 * Leader: `peer` answered an append.
 *
 * @param nonce Set while it is recovering.
 * @returns Whether what it holds counts from now on.
 */
export function notePeerRecovery(
  state: State,
  peer: Progress,
  nonce: number | undefined,
): boolean {
  if (nonce === peer.recovery?.nonce) return false;
  state.effects.changed = true;
  if (nonce === undefined) {
    peer.recovery = undefined;
    return true;
  }
  // It may hold less than it acknowledged before.
  if (peer.matchIndex > 0) peer.restart(state.log.lastIndex + 1);
  peer.recovery = { nonce, lastIndex: state.log.lastIndex };
  peer.caughtUp = false;
  return false;
}
