/** Mistakes in elections, and in what may follow from a damaged log. */
import { type Mutant, mutant } from "./mutant.ts";

const ELECTION = "lib/raft/election.ts";
const COMMIT = "lib/raft/commit.ts";
const STATE = "lib/raft/state.ts";

export const VOTES: readonly Mutant[] = [
  mutant("a vote is told before it is durable", [
    ELECTION,
    'sendOnSync(state, to, { type: "vote_response", term, ...answer, ...commitHint(state) });',
    "state.effects.send.push({\n    to,\n" +
    '    message: { type: "vote_response", term, ...answer, ...commitHint(state) },\n  });',
  ]),
  mutant("a vote is not written", [
    ELECTION,
    "      state.votedFor = from;\n      writeHardState(state);",
    "      state.votedFor = from;",
  ]),
  mutant("a vote is cleared by stepping down in its term", [
    "lib/raft/role.ts",
    "  if (term > oldTerm) {",
    '  if (term > oldTerm || oldRole === "candidate") {',
  ]),
  mutant("a later term is not written", [
    "lib/raft/role.ts",
    "    state.votedFor = undefined;\n    writeHardState(state);",
    "    state.votedFor = undefined;",
  ]),
  mutant("logs are compared by length alone", [
    ELECTION,
    "  if (message.lastTerm !== lastTerm) return message.lastTerm > lastTerm;",
    "  if (lastTerm < 0) return false;",
  ]),
  mutant("a vote does not look at the log", [
    ELECTION,
    ": mayVoteFor(state, from) && isUpToDate(state, message);",
    ": mayVoteFor(state, from);",
  ]),
  mutant("a candidate counts itself before that is durable", [
    ELECTION,
    "  becomeCandidate(state);\n",
    '  becomeCandidate(state);\n  state.votes.set(state.id, "yes");\n',
  ], [
    "lib/raft/role.ts",
    '  assert(state.durable.leaderTerm >= state.term, "a leader\'s term is durable");',
    "",
  ], [
    COMMIT,
    "  assert(durable.leaderTerm === state.term, `mark of term ${durable.leaderTerm}`);",
    "",
  ]),
  mutant("a pre-vote moves the voter to its term", [
    "lib/raft/step.ts",
    "      if (message.preVote) return true;",
    '      if (message.preVote && state.role !== "leader") {\n' +
    "        becomeFollower(state, message.term - 1, undefined);\n        return true;\n      }",
  ]),
  mutant("a node votes that may have forgotten, and does not say so", [
    ELECTION,
    "  const recovering = state.recovery === undefined ? {} : { recovering: true };",
    "  const recovering = {};",
  ]),
  mutant("the vote of a node that may have forgotten vouches", [
    "lib/raft/quorum.ts",
    '      isInEveryQuorum(configuration, (id) => vote(id) === "yes");',
    '      isInEveryQuorum(configuration, (id) => vote(id) !== "no");',
  ]),
  mutant("a node campaigns that may have forgotten", [
    STATE,
    "  if (state.removed || state.recovery !== undefined) return false;",
    "  if (state.removed) return false;",
  ]),
  mutant("what a node holds counts that may have forgotten", [
    "lib/raft/progress.ts",
    "    return this.recovery === undefined ? this.matchIndex : 0;",
    "    return this.matchIndex;",
  ]),
  mutant("a log counts as whole before it is as long as the leader's", [
    "lib/raft/recovery.ts",
    "  if (goalIndex === undefined || matchIndex < goalIndex) return;",
    "  if (goalIndex === undefined) return;",
  ]),
  mutant("answers of an old term count", [
    "lib/raft/step.ts",
    "  } else if (message.term < state.term) {",
    '  } else if (message.term < state.term && !message.type.endsWith("_response")) {',
  ]),
  mutant("a leader stays without a quorum", [
    "lib/raft/clock.ts",
    "  if (!isHeard(state, leadership)) {",
    "  if (leadership.startTick < 0 && !isHeard(state, leadership)) {",
  ]),
  mutant("a leader goes on while its disk stands still", [
    "lib/raft/clock.ts",
    "  if (isStalled(state) && !isAlone(state)) {",
    "  if (isStalled(state) && isAlone(state)) {",
  ]),
];
