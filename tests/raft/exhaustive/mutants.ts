/**
 * Mistakes for the search to find: each a change of one text that occurs once in a file of the
 * core, and the search that shows it.
 */

/** One change of one file. */
export interface Edit {
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

/** One mistake. */
export interface Mutant {
  readonly name: string;
  /** The scenario that shows it, and a depth that is enough. */
  readonly scenario: string;
  readonly depth: number;
  readonly edits: readonly Edit[];
}

function mutant(
  name: string,
  [scenario, depth]: readonly [string, number],
  ...edits: readonly (readonly [string, string, string])[]
): Mutant {
  return {
    name,
    scenario,
    depth,
    edits: edits.map(([file, search, replace]) => ({ file: `lib/raft/${file}`, search, replace })),
  };
}

export const MUTANTS: readonly Mutant[] = [
  mutant("a vote is not written", ["two elections", 8], [
    "election.ts",
    "      state.votedFor = from;\n      writeHardState(state);",
    "      state.votedFor = from;",
  ]),
  mutant("a vote is taken back by stepping down in its term", ["two elections", 13], [
    "role.ts",
    "  if (term > oldTerm) {",
    '  if (term > oldTerm || oldRole === "candidate") {',
  ]),
  mutant("a vote does not look at the log", ["an election after another", 12], [
    "election.ts",
    "mayVoteFor(state, from) && isUpToDate(state, message);",
    "mayVoteFor(state, from);",
  ], [
    "election.ts",
    "!hasLease(state) && isUpToDate(state, message)",
    "!hasLease(state)",
  ]),
  mutant("entries of an old term are committed by counting", ["diverged logs", 16], [
    "commit.ts",
    "  if (held <= state.commitIndex || held < leadership.startIndex) return;",
    "  if (held <= state.commitIndex) return;",
  ], [
    "commit.ts",
    "  assert(state.log.termAt(held) === state.term, " +
    "`entry ${held} is not of term ${state.term}`);",
    "",
  ]),
  mutant("a leader counts what its disk does not hold", ["proposals", 8], [
    "commit.ts",
    "    (id) => id === self ? durable.index :",
    "    (id) => id === self ? state.log.lastIndex :",
  ]),
  mutant("an acknowledgement leaves before the sync", ["an election after another", 4], [
    "follow.ts",
    '  sendOnSync(state, to, {\n    type: "append_response",\n    term: state.term,\n' +
    "    prevIndex: first,",
    '  send(state, to, {\n    type: "append_response",\n    term: state.term,\n' +
    "    prevIndex: first,",
  ]),
  mutant("an append is taken without its predecessor", ["diverged logs", 4], [
    "follow.ts",
    "    if (ownTerm !== prevTerm) {",
    "    if (ownTerm === undefined) {",
  ]),
  mutant("an append cuts off what follows it", ["proposals", 12], [
    "follow.ts",
    "  assert(matchIndex <= state.log.lastIndex, `matched ${matchIndex} beyond the log's end`);",
    "  if (message.entries.length > 0 && matchIndex < state.log.lastIndex) {\n" +
    "    if (matchIndex >= state.commitIndex) truncateLog(state, matchIndex + 1);\n  }",
  ]),
  mutant(
    "a heartbeat commits beyond what the follower holds",
    ["diverged logs and heartbeats", 13],
    [
      "heartbeat.ts",
      "  // Beyond its match the peer may hold entries of another leader.\n" +
      "  const commitIndex = Math.min(state.commitIndex, peer.matchIndex);",
      "  const commitIndex = state.commitIndex;",
    ],
    [
      "follow.ts",
      "    commitTo(state, commitIndex);\n  }",
      "    commitTo(state, Math.min(commitIndex, state.log.lastIndex));\n  }",
    ],
    [
      "follow.ts",
      "    commitIndex <= state.log.lastIndex,\n",
      "    commitIndex >= 0,\n",
    ],
  ),
  mutant("a node votes that may have forgotten, and does not say so", ["damage", 12], [
    "election.ts",
    "  const recovering = state.recovery === undefined ? {} : { recovering: true };",
    "  const recovering = {};",
  ]),
  mutant("the vote of a node that may have forgotten vouches", ["damage", 12], [
    "quorum.ts",
    '      isInEveryQuorum(configuration, (id) => vote(id) === "yes");',
    '      isInEveryQuorum(configuration, (id) => vote(id) !== "no");',
  ]),
  mutant("what a node holds counts that may have forgotten", ["damage", 11], [
    "progress.ts",
    "    return this.recovery === undefined ? this.matchIndex : 0;",
    "    return this.matchIndex;",
  ]),
  mutant("the outgoing voters are not asked", ["promotion", 11], [
    "quorum.ts",
    "  if (configuration.votersOutgoing.length === 0) return incoming;",
    "  if (configuration.votersOutgoing.length >= 0) return incoming;",
  ]),
  mutant("a configuration rules only once it is committed", ["removal", 10], [
    "commit.ts",
    "    configurationOf(state),\n    (id) => id === self",
    "    state.configurations.at(Math.max(1, state.commitIndex)).configuration,\n" +
    "    (id) => id === self",
  ]),
];
