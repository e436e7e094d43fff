/**
 * Mistakes that real systems made, or could have made here, as small changes of the source. Each
 * search text must occur exactly once. The simulator has to find every one of them.
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
  readonly edits: readonly Edit[];
  /** Whether it shows only over real SQLite. */
  readonly sqlite?: boolean;
}

function mutant(name: string, ...edits: readonly (readonly [string, string, string])[]): Mutant {
  return { name, edits: edits.map(([file, search, replace]) => ({ file, search, replace })) };
}

function sqliteMutant(
  name: string,
  ...edits: readonly (readonly [string, string, string])[]
): Mutant {
  return { ...mutant(name, ...edits), sqlite: true };
}

const ELECTION = "lib/raft/election.ts";
const FOLLOW = "lib/raft/follow.ts";
const COMMIT = "lib/raft/commit.ts";
const STATE = "lib/raft/state.ts";
const QUORUM = "lib/raft/quorum.ts";
const READS = "lib/raft/reads.ts";
const RAFT = "lib/raft/raft.ts";
const REPLICA = "lib/replica/replica.ts";
const SQLITE_MACHINE = "lib/replica/sqlite_machine.ts";

/** A leader that looks for the place where logs agree in larger steps. */
const FAR_BACK: readonly [string, string, string] = [
  "lib/raft/replication.ts",
  "    const agreeIndex = log.lastWithTermAtMost(message.hintIndex, message.hintTerm);",
  "    const near = log.lastWithTermAtMost(message.hintIndex, message.hintTerm);\n" +
  "    const agreeIndex = Math.max(0, near - 4);",
];

const VOTES: readonly Mutant[] = [
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
    "  becomeCandidate(state);\n  state.votes.set(state.id, true);\n",
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
  mutant("a node votes that may have forgotten", [
    ELECTION,
    "  if (state.recovery !== undefined) {\n    refuseVote",
    "  if (state.recovery?.nonce === 0) {\n    refuseVote",
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

const REPLICATION: readonly Mutant[] = [
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

const MEMBERSHIP: readonly Mutant[] = [
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
    "    if (!latest.configuration.voters.includes(state.id)) retire(state, leadership);",
    "    if (latest.index < 0) retire(state, leadership);",
  ]),
  mutant("a new leader does not go on with a change", [
    "lib/raft/membership.ts",
    "  if (isJoint(latest.configuration)) {\n    appendConfiguration",
    "  if (isJoint(latest.configuration) && state.log.termAt(latest.index) === state.term) {\n" +
    "    appendConfiguration",
  ]),
];

const READ: readonly Mutant[] = [
  mutant("a new leader answers reads before its no-op is committed", [
    READS,
    "  if (!leadership.established || reads.waiting.length === 0) return;",
    "  if (reads.waiting.length === 0) return;",
  ]),
  mutant("a leader does not confirm that it leads", [
    READS,
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

const DRIVER: readonly Mutant[] = [
  mutant("what must wait for the sync is sent at once", [
    REPLICA,
    "    this.#log.append({ hardState, reset, truncateFrom, entries: append, recovered }, () => {",
    "    for (const outbound of sendOnSync.splice(0)) this.#send(outbound);\n" +
    "    this.#log.append({ hardState, reset, truncateFrom, entries: append, recovered }, () => {",
  ]),
  mutant("entries are applied before they are durable", [
    REPLICA,
    "    const target = Math.min(this.#raft.commitIndex, this.#log.durableIndex);",
    "    const target = this.#raft.commitIndex;",
  ]),
  mutant("pages are released before they are durable", [
    REPLICA,
    "      const safeIndex = Math.min(commitIndex, this.#log.durableIndex);",
    "      const safeIndex = commitIndex;",
  ]),
  mutant("a write is acknowledged when it is proposed", [
    REPLICA,
    "      const committedSeq = this.#proposals.commit(commitIndex);",
    "      const committedSeq = this.#proposals.commit(this.#raft.lastIndex);",
  ]),
  mutant("a lost leader takes nothing back", [
    REPLICA,
    "      if (!durable || !this.#machine.rewind(seq)) {",
    "      if (!durable || !this.#machine.rewind(Math.max(seq, this.#machine.lastSeq()))) {",
  ]),
  mutant("what stays after a rewind need not be durable", [
    REPLICA,
    "      const durable = this.#log.durableIndex >= this.#appliedIndex;",
    "      const durable = this.#appliedIndex >= 0;",
  ]),
  mutant("a write that was proposed is told to be refused", [
    "lib/replica/proposals.ts",
    "    if (seq > this.#lastSeq) {",
    "    if (seq > this.#committedSeq) {",
  ]),
  mutant("a leader takes writes before its no-op is committed", [
    REPLICA,
    '    if (this.#mode !== "following" || raft.role !== "leader" || !raft.established) return;',
    '    if (this.#mode !== "following" || raft.role !== "leader") return;',
  ]),
  mutant("a write counts as part of the entry before its own", [
    REPLICA,
    "    if (part.complete) this.#proposals.push(result.index, part.seq);",
    "    if (part.complete) this.#proposals.push(result.index - 1, part.seq);",
  ]),
];

const LOG: readonly Mutant[] = [
  mutant("any damage at the end counts as torn", [
    "lib/log/recovery_table.ts",
    '{ name, when: { ...when, slots: [2], alone: [false] }, verdict: "recover" },',
    '{ name, when: { ...when, slots: [2], alone: [false] }, verdict: "cut" },',
  ]),
  mutant("damage is forgotten by the next start", [
    "lib/log/open.ts",
    "const recovering = newestSlot.recovering || givenUp !== undefined;",
    "const recovering = givenUp !== undefined;",
  ]),
  mutant("a log counts as whole before what makes it so is durable", [
    "lib/log/record_queue.ts",
    '    if (this.#items[0]?.type === "recovered") {\n      this.#items.shift();',
    '    const early = this.#items.findIndex((item) => item.type === "recovered");\n' +
    "    if (early >= 0) {\n      this.#items.splice(early, 1);",
  ]),
  mutant("truncations are forgotten by a restart", [
    "lib/log/segment_log.ts",
    '    this.#writer.push({ type: "truncate", from, after, alone: this.#isAlone });',
    "",
  ]),
  mutant("a failed sync is passed over", [
    "lib/log/log_writer.ts",
    "      waiting--;\n      if (error !== undefined) this.fail(error);",
    "      waiting--;\n      if (error !== undefined && waiting < 0) this.fail(error);",
  ]),
  mutant("a new segment's name is not synced", [
    "lib/log/preparer.ts",
    "      this.#disk.syncFolder(this.#folder);\n",
    "",
  ]),
  mutant("the slot's sync stands for that of the stream", [
    "lib/log/log_writer.ts",
    "    let waiting = toSlot ? 2 : 1;",
    "    let waiting = 1;",
  ]),
  mutant("a batch is durable as soon as it is handed over", [
    "lib/log/log_writer.ts",
    "    this.#busy = true;\n    let waiting",
    "    for (const done of dones) this.#host.clock.soon(done);\n    dones = [];\n" +
    "    this.#busy = true;\n    let waiting",
  ]),
  mutant("what only the cache holds counts as durable after a restart", [
    "lib/log/open.ts",
    "  writeParts(file, 0, headerParts(header));\n" +
    "  if (lastUnit.length > 0) file.write(lastUnitAt, lastUnit);\n  file.sync();",
    "",
  ]),
  mutant("a missing log is made anew", [
    "lib/log/open.ts",
    "    if (options.create) return make(options);",
    "    return make(options);",
  ]),
  mutant("of term and vote the stream's copy is not looked at", [
    "lib/log/recovery.ts",
    "  let hardState = newerState(slot.hardState, replay.hardState);",
    "  let hardState = slot.hardState;",
  ]),
];

const SQLITE: readonly Mutant[] = [
  sqliteMutant("the WAL of an earlier run is used", [
    SQLITE_MACHINE,
    "if (this.#disk.exists(stale)) this.#disk.remove(stale);",
    "assert(stale.startsWith(path), stale);",
  ]),
  sqliteMutant("nobody knows of a checkpoint that was cut off", [
    SQLITE_MACHINE,
    "    this.#writeRecord({ completeIndex: this.#record.completeIndex, fuzzyIndex: index });",
    "    assert(index > 0, `checkpoint at ${index}`);",
  ]),
  sqliteMutant("nothing is taken back when leadership is lost", [
    SQLITE_MACHINE,
    "this.#opened().rewind(seq)",
    "this.#opened().rewind(Math.max(seq, this.lastSeq()))",
  ]),
  sqliteMutant("an open transaction outlives leadership", [
    "lib/session/executor.ts",
    "    for (const { connection } of this.#streams.values()) connection.close();\n",
    "",
  ]),
  sqliteMutant("parts of a batch are applied backwards", [
    SQLITE_MACHINE,
    "  return parts.reverse();",
    "  return parts;",
  ]),
  sqliteMutant("a new office goes on with the batch of the last one", [
    SQLITE_MACHINE,
    "  lead(): number {\n    this.#first = true;\n",
    "  lead(): number {\n",
  ]),
];

/** All of them. */
export const MUTANTS: readonly Mutant[] = [
  ...VOTES,
  ...REPLICATION,
  ...MEMBERSHIP,
  ...READ,
  ...DRIVER,
  ...LOG,
  ...SQLITE,
];
