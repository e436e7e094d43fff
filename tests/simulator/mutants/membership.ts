/** Mistakes in changes of the membership. */
import { type Mutant, mutant } from "./mutant.ts";

const STATE = "lib/raft/state.ts";
const QUORUM = "lib/raft/quorum.ts";

export const MEMBERSHIP: readonly Mutant[] = [
  mutant("a configuration rules only once it is committed", [
    STATE,
    "  return state.configurations.latest.configuration;",
    "  return state.configurations.at(state.commitIndex).configuration;",
  ]),
  mutant("a configuration survives its truncation", [
    STATE,
    "  if (state.configurations.truncate(index)) effects.changed = true;",
    "  effects.changed = true;",
  ], [
    "lib/raft/configuration.ts",
    "    assert(placed.index > this.latest.index, `configuration ${placed.index} is not " +
    "the newest`);",
    "",
  ]),
  mutant("the outgoing voters are not asked", [
    QUORUM,
    "  if (configuration.votersOutgoing.length === 0) return incoming;",
    "  if (configuration.votersOutgoing.length >= 0) return incoming;",
  ]),
  mutant("standbys count for commits", [
    QUORUM,
    "  const incoming = majorityValue(configuration.voters, valueOf);",
    "  const { voters, standbys } = configuration;\n" +
    "  const incoming = majorityValue([...voters, ...standbys], valueOf);",
  ]),
  mutant("two changes at once", [
    "lib/raft/membership.ts",
    "  if (latest.index > state.commitIndex || isJoint(latest.configuration)) {",
    "  if (isJoint(latest.configuration)) {",
  ]),
  mutant("a removed leader stays", [
    "lib/raft/membership.ts",
    "  if (isDue && !latest.configuration.voters.includes(state.id)) retire(state, leadership);",
    "  if (isDue && latest.index < 0) retire(state, leadership);",
  ]),
  mutant("a new leader does not go on with a change", [
    "lib/raft/membership.ts",
    "  if (isJoint(latest.configuration)) {\n    appendConfiguration",
    "  if (isJoint(latest.configuration) && state.log.termAt(latest.index) === state.term) {\n" +
    "    appendConfiguration",
  ]),
  mutant("a standby campaigns", [
    STATE,
    "  if (isVoter(latest.configuration, state.id)) return true;",
    "  if (latest.configuration.members.some(({ id }) => id === state.id)) return true;",
  ]),
  mutant("learners count for elections", [
    QUORUM,
    "  return hasMajority(configuration.voters, holds) &&",
    "  const { voters, learners } = configuration;\n" +
    "  return hasMajority([...voters, ...learners], holds) &&",
  ]),
];
