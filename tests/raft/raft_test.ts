import { expect, test } from "bun:test";
import { SeededRandom } from "../../lib/base/random.ts";
import { EMPTY_CONFIGURATION, initialConfiguration } from "../../lib/raft/configuration.ts";
import { Raft } from "../../lib/raft/raft.ts";
import type { RestoredEntry, RestoredState } from "../../lib/raft/options.ts";
import type { Effects, Entry, Message, NodeId, Term } from "../../lib/raft/types.ts";
import { commandEntry, memberOf } from "./harness.ts";

const COMMAND = { payload: new Uint8Array(4), checksum: 0 };

interface Setup {
  readonly voters?: readonly NodeId[];
  readonly terms?: readonly Term[];
  readonly term?: Term;
  readonly commitIndex?: number;
}

/** Node 1 with the configuration as entry 1 and commands of the given terms behind it. */
function restore(setup: Setup = {}): RestoredState {
  const { voters = [1, 2, 3], terms = [], commitIndex = 0 } = setup;
  const configuration = initialConfiguration(voters.map(memberOf));
  const entries: RestoredEntry[] = [{ index: 1, term: 1, sizeBytes: 0, configuration }];
  for (const term of terms) entries.push({ index: entries.length + 1, term, sizeBytes: 10 });
  return {
    hardState: { term: setup.term ?? entries.at(-1)!.term, votedFor: undefined },
    firstIndex: 1,
    entries,
    baseIndex: 0,
    baseTerm: 0,
    baseConfiguration: EMPTY_CONFIGURATION,
    commitIndex,
  };
}

function start(setup: Setup = {}, random = new SeededRandom(1)): Raft {
  const options = { id: 1, random, electionTicks: 10, heartbeatTicks: 2 };
  return new Raft(options, restore(setup));
}

/** Makes everything durable at once, as an infinitely fast disk would. */
function settle(raft: Raft): Effects[] {
  const all: Effects[] = [];
  while (raft.hasEffects()) {
    const effects = raft.takeEffects();
    all.push(effects);
    if (effects.mark !== undefined) raft.onDurable(effects.mark);
  }
  return all;
}

function vote(term: Term, preVote: boolean): Message {
  return { type: "vote_response", term, preVote, granted: true, commitIndex: 0, commitTerm: 0 };
}

function lead(setup: Setup = {}): Raft {
  const raft = start(setup);
  raft.campaign();
  settle(raft);
  raft.step(2, vote(raft.term + 1, true));
  settle(raft);
  raft.step(2, vote(raft.term, false));
  settle(raft);
  expect(raft.role).toBe("leader");
  return raft;
}

function appendOf(term: Term, prev: [number, Term], entries: Entry[], commitIndex = 0): Message {
  const [prevIndex, prevTerm] = prev;
  return { type: "append_request", term, prevIndex, prevTerm, commitIndex, entries };
}

test("nothing to do is one frozen value", () => {
  const raft = start();
  expect(raft.hasEffects()).toBe(false);
  const nothing = raft.takeEffects();
  expect(raft.takeEffects()).toBe(nothing);
  expect(() => nothing.append.push(commandEntry(1, 1))).toThrow();
});

test("the same seed gives the same election timeout, and reads start elsewhere each time", () => {
  const ticksUntilCampaign = (seed: number) => {
    const raft = start({}, new SeededRandom(seed));
    let ticks = 0;
    for (; raft.role === "follower"; ticks++) raft.tick();
    return ticks;
  };
  const timeouts = new Set([1, 2, 3, 4, 5, 6, 7, 8].map(ticksUntilCampaign));
  expect(ticksUntilCampaign(3)).toBe(ticksUntilCampaign(3));
  expect(timeouts.size).toBeGreaterThan(1);
  for (const timeout of timeouts) {
    expect(timeout).toBeGreaterThanOrEqual(10);
    expect(timeout).toBeLessThan(20);
  }
  expect(start({}, new SeededRandom(1)).read()).not.toBe(start({}, new SeededRandom(2)).read());
});

test("a mark of an earlier term does not stand for entries of this one", () => {
  const raft = lead({ terms: [1, 1, 1, 1, 1] });
  raft.propose([COMMAND]);
  const { mark } = raft.takeEffects();
  const accept = (matchIndex: number): Message => ({
    type: "append_response",
    term: raft.term,
    prevIndex: 6,
    success: true,
    matchIndex,
    hintIndex: 0,
    hintTerm: 0,
  });
  raft.step(2, accept(8));
  expect(raft.commitIndex).toBe(7);
  raft.onDurable({ leaderTerm: raft.term - 1, index: 50 });
  expect(raft.commitIndex).toBe(7);
  raft.onDurable(mark!);
  expect(raft.commitIndex).toBe(8);
});

test("proposals between two takes become one append and one message for each peer", () => {
  const raft = lead();
  const before = raft.lastIndex;
  const accept = { success: true, hintIndex: 0, hintTerm: 0, prevIndex: 1 } as const;
  for (const peer of [2, 3]) {
    const matchIndex = before;
    raft.step(peer, { type: "append_response", term: raft.term, matchIndex, ...accept });
  }
  settle(raft);
  for (let i = 0; i < 5; i++) raft.propose([COMMAND, COMMAND]);
  const [effects] = settle(raft);
  expect(effects!.append.map(({ index }) => index - before)).toEqual([
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
  ]);
  expect(effects!.send.map(({ to, message }) => [to, message.type])).toEqual([
    [2, "append_range"],
    [3, "append_range"],
  ]);
});

test("a proposal is all or nothing, and names the last entry", () => {
  const raft = lead();
  const last = raft.lastIndex;
  const result = raft.propose([COMMAND, COMMAND, COMMAND]);
  expect(result).toEqual({ accepted: true, index: last + 3, term: raft.term });
  const many = Array.from({ length: 5000 }, () => COMMAND);
  expect(raft.propose(many)).toMatchObject({ accepted: false, refusal: "busy" });
  expect(raft.propose([])).toMatchObject({ accepted: false, refusal: "invalid" });
  expect(raft.lastIndex).toBe(last + 3);
});

test("a conflict with a committed entry stops the node", () => {
  const raft = start({ terms: [1, 1], commitIndex: 3 });
  const conflicting = appendOf(2, [1, 1], [commandEntry(2, 2)]);
  expect(() => raft.step(2, conflicting)).toThrow("entry 2 is committed in term 1");
});

test("a heartbeat that names more than the log holds stops the node", () => {
  const raft = start({ terms: [1] });
  const message: Message = { type: "heartbeat_request", term: 1, commitIndex: 9, round: 0 };
  expect(() => raft.step(2, message)).toThrow("acknowledged entries were lost");
});

test("two leaders in one term stop the node", () => {
  const raft = start({ term: 3 });
  raft.step(2, { type: "heartbeat_request", term: 3, commitIndex: 0, round: 0 });
  const other: Message = { type: "heartbeat_request", term: 3, commitIndex: 0, round: 0 };
  expect(() => raft.step(3, other)).toThrow("nodes 3 and 2 lead in term 3");
});

test("appends that are not well formed change nothing", () => {
  const malformed = [
    appendOf(2, [1, 1], [commandEntry(3, 2)]),
    appendOf(2, [1, 1], [commandEntry(2, 2), commandEntry(4, 2)]),
    appendOf(2, [1, 1], [commandEntry(2, 2), commandEntry(3, 1)]),
    appendOf(2, [1, 1], [commandEntry(2, 5)]),
  ];
  for (const message of malformed) {
    const raft = start();
    raft.step(2, message);
    expect(raft.lastIndex).toBe(1);
    expect(raft.takeEffects().sendOnSync).toEqual([]);
  }
});

test("acknowledgements that cannot be true change nothing", () => {
  const raft = lead();
  const head = { type: "append_response", term: raft.term, success: true, prevIndex: 1 } as const;
  raft.step(2, { ...head, matchIndex: 1000, hintIndex: 0, hintTerm: 0 });
  raft.step(9, { ...head, matchIndex: 2, hintIndex: 0, hintTerm: 0 });
  raft.step(1, { ...head, matchIndex: 2, hintIndex: 0, hintTerm: 0 });
  expect(raft.commitIndex).toBe(0);
  expect(raft.established).toBe(false);
});

test("an answer of a stranger with a later term does not unseat the leader", () => {
  const raft = lead();
  raft.step(9, { type: "heartbeat_response", term: 99, round: 0 });
  expect(raft.role).toBe("leader");
  raft.step(3, { type: "heartbeat_response", term: 99, round: 0 });
  expect([raft.role, raft.term]).toEqual(["follower", 99]);
});

test("an old append that ends before what is committed is acknowledged as far as it goes", () => {
  const raft = start({ terms: [1, 1, 1], commitIndex: 4 });
  raft.step(2, appendOf(1, [1, 1], [commandEntry(2, 1)]));
  const [answer] = raft.takeEffects().sendOnSync;
  expect(answer!.message).toMatchObject({ success: true, matchIndex: 2 });
  expect(raft.lastIndex).toBe(4);
});

test("a follower commits no more than the message verifies", () => {
  const raft = start({ terms: [1, 1, 1] });
  raft.step(2, appendOf(2, [1, 1], [], 4));
  expect(raft.commitIndex).toBe(1);
  raft.step(2, appendOf(2, [1, 1], [commandEntry(2, 1)], 4));
  expect(raft.commitIndex).toBe(2);
  raft.step(2, appendOf(2, [4, 1], [], 3));
  expect(raft.commitIndex).toBe(3);
});

test("appends that follow one another in one batch share an answer", () => {
  const raft = start();
  raft.step(2, appendOf(2, [1, 1], [commandEntry(2, 2)]));
  raft.step(2, appendOf(2, [2, 2], [commandEntry(3, 2), commandEntry(4, 2)]));
  raft.step(2, appendOf(2, [9, 2], [commandEntry(10, 2)]));
  raft.step(2, appendOf(2, [4, 2], [commandEntry(5, 2)]));
  const answers = raft.takeEffects().sendOnSync.map(({ message }) => message);
  expect(answers).toMatchObject([
    { success: true, prevIndex: 1, matchIndex: 4 },
    { success: false, prevIndex: 9, hintIndex: 4 },
    { success: true, prevIndex: 4, matchIndex: 5 },
  ]);
});

test("a short append does not cut off what follows it", () => {
  const raft = start({ terms: [1, 1, 1] });
  raft.step(2, appendOf(1, [1, 1], [commandEntry(2, 1)]));
  expect(raft.lastIndex).toBe(4);
  expect(raft.takeEffects()).toMatchObject({ truncateFrom: undefined, append: [] });
});

test("votes of an earlier term, of a stranger, or given twice do not count", () => {
  const raft = start({ voters: [1, 2, 3, 4, 5] });
  const answer = (from: NodeId, term: Term, preVote: boolean) => {
    raft.step(from, vote(term, preVote));
    settle(raft);
  };
  const campaign = () => {
    raft.campaign();
    settle(raft);
    for (const from of [2, 3]) answer(from, raft.term + 1, true);
  };
  campaign();
  expect([raft.role, raft.term]).toEqual(["candidate", 2]);
  campaign();
  expect([raft.role, raft.term]).toEqual(["candidate", 3]);
  answer(4, 2, false);
  answer(5, 2, false);
  answer(9, 3, false);
  answer(8, 3, false);
  answer(4, 3, false);
  answer(4, 3, false);
  answer(5, 4, true);
  expect(raft.role).toBe("candidate");
  answer(5, 3, false);
  expect(raft.role).toBe("leader");
});

test("the vote goes to the log that is more up-to-date: term first, then index", () => {
  const terms = [1, 2, 2];
  const grants = (lastTerm: Term, lastIndex: number) => {
    const raft = start({ terms });
    raft.step(2, {
      type: "vote_request",
      term: 9,
      preVote: false,
      lastIndex,
      lastTerm,
      commitIndex: 0,
      commitTerm: 0,
      transfer: false,
    });
    const [answer] = raft.takeEffects().sendOnSync;
    return answer?.message.type === "vote_response" && answer.message.granted;
  };
  for (const lastTerm of [1, 2, 3]) {
    for (const lastIndex of [3, 4, 5]) {
      expect(grants(lastTerm, lastIndex)).toBe(lastTerm > 2 || (lastTerm === 2 && lastIndex >= 4));
    }
  }
});

test("a change of the membership waits for a commit of the leader's own term", () => {
  const raft = lead({ commitIndex: 1 });
  const change = { type: "add", role: "standby", member: memberOf(4) } as const;
  expect(raft.proposeConfiguration(change)).toMatchObject({ refusal: "changing" });
  raft.step(2, {
    type: "append_response",
    term: raft.term,
    prevIndex: 1,
    success: true,
    matchIndex: raft.lastIndex,
    hintIndex: 0,
    hintTerm: 0,
  });
  expect(raft.established).toBe(true);
  expect(raft.proposeConfiguration(change)).toMatchObject({ accepted: true });
  expect(raft.proposeConfiguration(change)).toMatchObject({ refusal: "changing" });
});

test("entries that were replaced before the driver saw them are never asked for", () => {
  const raft = start();
  raft.step(2, appendOf(2, [1, 1], [commandEntry(2, 2), commandEntry(3, 2)]));
  raft.step(3, appendOf(3, [2, 2], [commandEntry(3, 3), commandEntry(4, 3)]));
  const effects = raft.takeEffects();
  expect(effects.truncateFrom).toBeUndefined();
  expect(effects.append.map(({ index, term }) => [index, term])).toEqual([[2, 2], [3, 3], [4, 3]]);
  expect(effects.mark).toEqual({ leaderTerm: 3, index: 4 });
  raft.step(3, appendOf(4, [1, 1], [commandEntry(2, 4)]));
  expect(raft.takeEffects()).toMatchObject({ truncateFrom: 2, mark: { leaderTerm: 4, index: 2 } });
});

test("pending reads are bounded", () => {
  const options = {
    id: 1,
    random: new SeededRandom(1),
    electionTicks: 10,
    heartbeatTicks: 2,
    limits: { pendingReadsMax: 2 },
  };
  const raft = new Raft(options, restore());
  raft.step(2, { type: "heartbeat_request", term: 1, commitIndex: 0, round: 0 });
  const tickets = [raft.read(), raft.read(), raft.read()];
  expect(raft.takeEffects().reads).toEqual([{ ticket: tickets[2]!, index: undefined }]);
});

test("reads of a peer that restarted are forgotten", () => {
  const raft = lead();
  raft.step(2, { type: "read_request", term: raft.term, ticket: 77 });
  raft.onPeerRestarted(2);
  for (let i = 0; i < 20; i++) raft.tick();
  const sent = settle(raft).flatMap(({ send, sendOnSync }) => [...send, ...sendOnSync]);
  expect(sent.filter(({ message }) => message.type === "read_response")).toEqual([]);
});

test("a message that reveals a term waits until the term is durable", () => {
  const raft = start();
  raft.step(2, { type: "heartbeat_request", term: 8, commitIndex: 0, round: 0 });
  const effects = raft.takeEffects();
  expect(effects.send).toEqual([]);
  expect(effects.sendOnSync).toHaveLength(1);
  raft.onDurable(effects.mark!);
  raft.step(2, { type: "heartbeat_request", term: 8, commitIndex: 0, round: 0 });
  expect(raft.takeEffects().send).toHaveLength(1);
});

test("what was restored has to make sense", () => {
  const options = { id: 1, random: new SeededRandom(1), electionTicks: 10, heartbeatTicks: 2 };
  const good = restore({ terms: [2, 2] });
  const broken: RestoredState[] = [
    { ...good, firstIndex: 2 },
    { ...good, hardState: { term: 1, votedFor: undefined } },
    { ...good, commitIndex: 9 },
    { ...good, entries: [...good.entries].slice(1) },
  ];
  for (const restored of broken) expect(() => new Raft(options, restored)).toThrow();
  expect(() => new Raft({ ...options, heartbeatTicks: 10 }, good)).toThrow();
  expect(() => new Raft({ ...options, limits: { appendEntriesMax: 0 } }, good)).toThrow();
});

test("a node that was removed before it restarted does not campaign", () => {
  const state = restore();
  const without = initialConfiguration([memberOf(2), memberOf(3)]);
  const entries = [
    ...state.entries,
    { index: 2, term: 1, sizeBytes: 0, configuration: without },
  ];
  const options = { id: 1, random: new SeededRandom(1), electionTicks: 10, heartbeatTicks: 2 };
  const raft = new Raft(options, { ...state, entries, commitIndex: 2 });
  expect(raft.status().removed).toBe(true);
  raft.campaign();
  for (let i = 0; i < 50; i++) raft.tick();
  expect(raft.role).toBe("follower");
  expect(raft.hasEffects()).toBe(false);
});
