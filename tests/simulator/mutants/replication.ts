/** Mistakes in replication and in counting. */
import { type Mutant, mutant } from "./mutant.ts";

const FOLLOW = "lib/raft/follow.ts";
const COMMIT = "lib/raft/commit.ts";
const QUORUM = "lib/raft/quorum.ts";
const RAFT = "lib/raft/raft.ts";

/** A leader that looks for the place where logs agree in larger steps. */
const FAR_BACK: readonly [string, string, string] = [
  "lib/raft/replication.ts",
  "    const agreeIndex = log.lastWithTermAtMost(message.hintIndex, message.hintTerm);",
  "    const near = log.lastWithTermAtMost(message.hintIndex, message.hintTerm);\n" +
  "    const agreeIndex = Math.max(0, near - 4);",
];

export const REPLICATION: readonly Mutant[] = [
  mutant("entries of an old term are committed by counting", [
    COMMIT,
    "  if (held <= state.commitIndex || held < leadership.startIndex) return;",
    "  if (held <= state.commitIndex) return;",
  ], [
    COMMIT,
    "  assert(state.log.termAt(held) === state.term, `entry ${held} is not of term " +
    "${state.term}`);",
    "",
  ]),
  // The hints of a refusal are exact, so that the first append after it cuts off whatever differs.
  // These two show only when a leader goes back further than it must, which is correct too.
  mutant("an acknowledgement names the end of the log", [
    FOLLOW,
    "  const matchIndex = prevIndex + message.entries.length;",
    "  const matchIndex = state.log.lastIndex;",
  ], FAR_BACK),
  mutant("a follower commits beyond what the message showed", [
    FOLLOW,
    "  commitTo(state, Math.min(message.commitIndex, matchIndex));",
    "  commitTo(state, Math.min(message.commitIndex, state.log.lastIndex));",
  ], FAR_BACK),
  mutant("a heartbeat commits beyond what the follower holds", [
    "lib/raft/heartbeat.ts",
    "  // Beyond its match the peer may hold entries of another leader.\n" +
    "  const commitIndex = Math.min(state.commitIndex, peer.matchIndex);",
    "  const commitIndex = state.commitIndex;",
  ], [
    FOLLOW,
    "    commitTo(state, commitIndex);\n  }",
    "    commitTo(state, Math.min(commitIndex, state.log.lastIndex));\n  }",
  ], [
    FOLLOW,
    "    commitIndex <= state.log.lastIndex,\n",
    "    commitIndex >= 0,\n",
  ]),
  mutant("a stale refusal sends the leader back", [
    "lib/raft/progress.ts",
    "    if (prevIndex <= this.matchIndex) return false;\n",
    "",
  ], [
    "lib/raft/progress.ts",
    "    this.nextIndex = Math.max(Math.min(prevIndex, agreeIndex + 1), this.matchIndex + 1);",
    "    this.nextIndex = Math.max(Math.min(prevIndex, agreeIndex + 1), 1);",
  ]),
  mutant("an append cuts off what follows it", [
    FOLLOW,
    "  assert(matchIndex <= state.log.lastIndex, `matched ${matchIndex} beyond the log's end`);",
    "  if (message.entries.length > 0 && matchIndex < state.log.lastIndex) {\n" +
    "    if (matchIndex >= state.commitIndex) truncateLog(state, matchIndex + 1);\n  }",
  ]),
  mutant("an append is taken without its predecessor", [
    FOLLOW,
    "    if (ownTerm !== prevTerm) {",
    "    if (ownTerm === undefined) {",
  ]),
  mutant("an acknowledgement leaves before the sync", [
    FOLLOW,
    '  sendOnSync(state, to, {\n    type: "append_response",\n    term: state.term,\n' +
    "    prevIndex: first,",
    '  send(state, to, {\n    type: "append_response",\n    term: state.term,\n' +
    "    prevIndex: first,",
  ]),
  mutant("a leader counts what its disk does not hold", [
    COMMIT,
    "    (id) => id === self ? durable.index :",
    "    (id) => id === self ? state.log.lastIndex :",
  ]),
  mutant("a mark of an old term counts for a new one", [
    RAFT,
    "    const isNewer = mark.leaderTerm > durable.leaderTerm ||\n" +
    "      (mark.leaderTerm === durable.leaderTerm && mark.index > durable.index);",
    "    const isNewer = mark.index > durable.index || mark.leaderTerm > durable.leaderTerm;",
  ], [
    RAFT,
    "    state.durable = mark;\n    if (mark.leaderTerm !== state.term) return;",
    "    state.durable = { leaderTerm: state.term, index: mark.index };",
  ]),
  mutant("a majority is half", [
    QUORUM,
    "  return Math.floor(count / 2) + 1;",
    "  return Math.ceil(count / 2);",
  ]),
  mutant("a probe never goes on", [
    "lib/raft/replication.ts",
    "    // The probe, or its answer, may be lost.\n    peer.paused = false;",
    "    // The probe, or its answer, may be lost.",
  ]),
  mutant("acknowledged messages stay in flight", [
    "lib/raft/progress.ts",
    "    this.inflight.acknowledge(matchIndex);",
    "    this.inflight.acknowledge(0);",
  ]),
  mutant("the uncommitted log has no bound", [
    "lib/raft/propose.ts",
    "  if (entries === 0) return true;",
    "  if (entries >= 0) return true;",
  ]),
];
