import { expect, test } from "bun:test";
import { SNAPSHOT_RETRY_MS } from "../../lib/base/limits.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { EMPTY_CONFIGURATION } from "../../lib/raft/configuration.ts";
import { Raft } from "../../lib/raft/raft.ts";
import type { Configuration, Message, SnapshotBase } from "../../lib/raft/types.ts";
import { Replica } from "../../lib/replica/replica.ts";
import { knownCommitIndex, type SnapshotReceiver } from "../../lib/replica/snapshot_install.ts";
import { SEGMENT_DATA_AT } from "../../lib/wire/segment_header.ts";
import { command, commands, CONFIGURATION, Fixture, segmentOf } from "../log/harness.ts";
import { FakeMachine } from "./fake_machine.ts";

const TICK_MS = 10;
const VOTERS: Configuration = {
  ...CONFIGURATION,
  voters: [7, 8, 9],
  members: [7, 8, 9].map((id) => ({ id, address: `h:${id}`, httpUrl: `http://h:${id}` })),
};
const BASE: SnapshotBase = {
  index: 50,
  term: 2,
  chain: { a: 1, b: 2 },
  configuration: VOTERS,
  knownInTerm: 2,
};

interface Fetch {
  readonly from: number;
  readonly least: number;
  readonly receiver: SnapshotReceiver;
  cancelled: boolean;
}

/** A node with entries 1 to 5 of term 1, led by node 8 in term 2. */
function node(machine = new FakeMachine(), before?: Fixture) {
  const fixture = before ?? new Fixture();
  const { log, loop } = fixture;
  if (before === undefined) {
    const first = { type: "configuration", index: 1, term: 1, configuration: VOTERS } as const;
    const entries = [first, ...[2, 3, 4, 5].map((index) => command(index, 1))];
    fixture.write({ hardState: { term: 2, votedFor: undefined }, entries });
  }
  const entries: {
    index: number;
    term: number;
    sizeBytes: number;
    configuration?: Configuration;
  }[] = [];
  log.forEach((index, term, sizeBytes, configuration) => {
    entries.push({ index, term, sizeBytes, ...configuration && { configuration } });
  });
  const { hardState, firstIndex, baseIndex, baseTerm } = log;
  const baseConfiguration = baseIndex === 0 ? EMPTY_CONFIGURATION : log.baseConfiguration;
  const raft = new Raft(
    { id: 7, random: new SeededRandom(3), electionTicks: 100, heartbeatTicks: 2 },
    {
      hardState,
      firstIndex,
      entries,
      baseIndex,
      baseTerm,
      baseConfiguration,
      commitIndex: knownCommitIndex(log, machine),
      recoveryNonce: log.recovering ? 12 : undefined,
    },
  );
  const sent: Message[] = [];
  const fetches: Fetch[] = [];
  const retiring: (() => void)[] = [];
  let healings = 0;
  const replica = new Replica({
    raft,
    log,
    machine,
    clock: loop.clock,
    tickMs: TICK_MS,
    sender: { send: (_to, message) => sent.push(message), flush: () => {} },
    snapshots: {
      fetch: (from, least, receiver) => {
        const fetch = { from, least, receiver, cancelled: false };
        fetches.push(fetch);
        return () => fetch.cancelled = true;
      },
    },
    events: {
      onLeading: () => {},
      onRetiring: (quiet) => retiring.push(quiet),
      onWritable: () => {},
      onChange: () => {},
      onHealed: () => void healings++,
      onFatal: (error) => {
        throw error;
      },
    },
  });
  replica.start();
  const pass = (durationMs: number) => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += TICK_MS) {
      loop.pass(TICK_MS);
      loop.settle();
    }
  };
  const receive = (message: Message) => {
    replica.receive(8, message);
    loop.turn();
    loop.settle();
  };
  const offer = () =>
    receive({ type: "snapshot_offer", term: 2, baseIndex: BASE.index, baseTerm: BASE.term });
  return {
    fixture,
    log,
    loop,
    raft,
    machine,
    sent,
    fetches,
    retiring,
    replica,
    pass,
    receive,
    offer,
    healed: () => healings,
  };
}

function append(first: number, last: number, commitIndex: number): Message {
  const entries = [];
  for (let index = first; index <= last; index++) entries.push(command(index, 2));
  const prevTerm = first - 1 >= 50 ? 2 : 1;
  return { type: "append_request", term: 2, prevIndex: first - 1, prevTerm, commitIndex, entries };
}

test("a log that was cut behind the databases lets them go back to a snapshot", () => {
  const before = new Fixture();
  const first = { type: "configuration", index: 1, term: 1, configuration: VOTERS } as const;
  before.write({ hardState: { term: 2, votedFor: undefined }, entries: [first] });
  before.write({ entries: commands(2, 60, 1) });
  const disk = before.disk.crash(() => true);
  disk.damage(segmentOf(1), SEGMENT_DATA_AT + 700, (byte) => byte ^ 1);
  const machine = new FakeMachine();
  machine.checkpointIndex = machine.consistentIndex = 60;
  const cut = node(machine, new Fixture({ disk }));
  expect([cut.log.recovering, cut.log.lastIndex, cut.replica.appliedIndex]).toEqual([true, 1, 60]);
  cut.offer();
  expect(cut.fetches.map(({ least }) => least)).toEqual([1]);
  cut.fetches[0]!.receiver.begin(BASE, () => {});
  cut.retiring[0]!();
  expect(machine.installing).toBe(true);
  cut.fetches[0]!.receiver.done(BASE.index);
  cut.loop.settle();
  expect([cut.log.baseIndex, cut.replica.appliedIndex]).toEqual([50, 50]);
  // Nothing is made good before the log is as long as the leader's.
  expect(cut.raft.status().recovering).toBe(true);
});

test("an offer leads to a database and a log that begin with the snapshot", () => {
  const { replica, machine, log, fetches, retiring, offer, receive, pass, sent, loop } = node();
  const seen: number[] = [];
  offer();
  offer();
  expect(fetches.map(({ from, least }) => [from, least])).toEqual([[8, 1]]);
  let proceeded = false;
  fetches[0]!.receiver.begin(BASE, () => proceeded = true);
  expect([replica.mode, retiring.length, machine.installing]).toEqual(["installing", 1, false]);
  retiring[0]!();
  expect([proceeded, machine.installing, replica.readable]).toEqual([true, true, false]);
  // No entries now: the log must stay behind what it lacks.
  const before = sent.length;
  receive(append(6, 9, 0));
  expect([log.lastIndex, sent.length]).toEqual([5, before]);
  replica.whenApplied(40, () => seen.push(replica.appliedIndex));
  fetches[0]!.receiver.done(52);
  expect([replica.mode, replica.appliedIndex]).toEqual(["installing", 50]);
  pass(50);
  loop.settle();
  expect([replica.mode, log.baseIndex, log.lastIndex]).toEqual(["following", 50, 50]);
  expect(sent.at(-1)).toMatchObject({ type: "append_response", success: true, matchIndex: 50 });
  expect([replica.readable, seen]).toEqual([false, []]);
  receive(append(51, 53, 51));
  pass(20);
  expect([machine.applied, seen]).toEqual([[51], []]);
  receive({ ...append(54, 53, 53), prevTerm: 2 } as Message);
  pass(20);
  expect(machine.applied).toEqual([51, 52, 53]);
  expect([replica.readable, seen.length]).toEqual([true, 1]);
  expect(seen[0]).toBeGreaterThanOrEqual(52);
});

test("once the database is given up, a snapshot behind what it held will do", () => {
  const { replica, machine, log, fetches, retiring, offer, receive, pass } = node();
  receive(append(6, 9, 9));
  pass(20);
  expect(replica.appliedIndex).toBe(9);
  offer();
  expect(fetches[0]!.least).toBe(9);
  fetches[0]!.receiver.begin(BASE, () => {});
  retiring[0]!();
  fetches[0]!.receiver.failed();
  pass(SNAPSHOT_RETRY_MS + 2 * TICK_MS);
  // The leader of a batch in parts may have no later one before this node helps it to commit.
  expect(fetches[1]!.least).toBe(1);
  fetches[1]!.receiver.begin({ ...BASE, index: 7 }, () => {});
  fetches[1]!.receiver.done(9);
  pass(50);
  expect([replica.mode, log.lastIndex, machine.checkpointIndex]).toEqual(["following", 9, 7]);
  expect([replica.appliedIndex, replica.readable]).toEqual([9, true]);
});

test("a source that fails before the database is given up changes nothing", () => {
  const { replica, machine, fetches, retiring, offer, pass } = node();
  offer();
  fetches[0]!.receiver.begin(BASE, () => {
    throw new Error("nobody asked for pages");
  });
  fetches[0]!.receiver.failed();
  expect(replica.mode).toBe("following");
  retiring[0]!();
  expect([replica.mode, machine.installing]).toEqual(["following", false]);
  offer();
  expect(fetches.length).toBe(1);
  pass(SNAPSHOT_RETRY_MS);
  offer();
  expect(fetches.length).toBe(2);
});

test("a log that came by what it lacked keeps its database", () => {
  const { replica, raft, machine, fetches, retiring, offer, receive } = node();
  receive({ type: "snapshot_offer", term: 2, baseIndex: 7, baseTerm: 2 });
  expect(raft.lacksSnapshot).toBe(true);
  receive(append(6, 7, 7));
  expect(raft.lacksSnapshot).toBe(false);
  fetches[0]!.receiver.begin(BASE, () => {});
  expect([fetches[0]!.cancelled, retiring.length]).toEqual([true, 0]);
  expect([replica.mode, machine.installing]).toEqual(["following", false]);
  offer();
  expect(fetches.length).toBe(1);
});

test("a snapshot that is behind the database is refused", () => {
  const machine = new FakeMachine();
  machine.checkpointIndex = machine.consistentIndex = 4;
  const { replica, fetches, offer } = node(machine);
  offer();
  expect(fetches[0]!.least).toBe(4);
  fetches[0]!.receiver.begin({ ...BASE, index: 3, term: 1 }, () => {});
  expect([fetches[0]!.cancelled, replica.mode]).toEqual([true, "following"]);
});

test("while a checkpoint holds the database still, the snapshot waits", () => {
  const { replica, fetches, retiring, offer, pass } = node();
  offer();
  const resume = replica.pauseApply();
  fetches[0]!.receiver.begin(BASE, () => {});
  pass(50);
  expect([replica.mode, retiring.length]).toEqual(["following", 0]);
  resume();
  pass(50);
  expect([replica.mode, retiring.length]).toEqual(["installing", 1]);
});

test("a node that stopped in the middle asks by itself, until a snapshot is there", () => {
  const machine = new FakeMachine();
  machine.beginInstall();
  const { replica, fetches, receive, pass, log } = node(machine);
  expect(replica.mode).toBe("installing");
  receive(append(6, 5, 5));
  expect([replica.mode, replica.appliedIndex]).toEqual(["installing", 0]);
  pass(TICK_MS);
  expect(fetches.length).toBe(1);
  fetches[0]!.receiver.failed();
  pass(SNAPSHOT_RETRY_MS + 2 * TICK_MS);
  expect(fetches.length).toBe(2);
  let proceeded = false;
  fetches[1]!.receiver.begin(BASE, () => proceeded = true);
  expect(proceeded).toBe(true);
  fetches[1]!.receiver.done(50);
  pass(50);
  expect([replica.mode, replica.readable, log.baseIndex]).toEqual(["following", true, 50]);
});

test("a node that stopped before its log was replaced goes on there", () => {
  const machine = new FakeMachine();
  machine.completeInstall(BASE, 50);
  const { replica, raft, log, fixture, pass } = node(machine);
  expect([replica.mode, replica.appliedIndex, raft.commitIndex]).toEqual(["installing", 50, 50]);
  expect(log.baseAt(50)?.chain).toEqual(BASE.chain);
  pass(50);
  expect([replica.mode, log.durableIndex]).toEqual(["following", 50]);
  replica.stop();
  const again = node(machine, fixture.restart());
  expect([again.replica.mode, again.raft.commitIndex]).toEqual(["following", 50]);
});

test("calls of a source that was given up mean nothing", () => {
  const { replica, machine, fetches, retiring, offer, pass } = node();
  offer();
  fetches[0]!.receiver.begin(BASE, () => {});
  fetches[0]!.receiver.failed();
  pass(SNAPSHOT_RETRY_MS);
  offer();
  fetches[0]!.receiver.begin(BASE, () => {});
  fetches[0]!.receiver.done(50);
  fetches[0]!.receiver.failed();
  expect([retiring.length, machine.installed, replica.mode]).toEqual([1, undefined, "following"]);
  fetches[1]!.receiver.begin(BASE, () => {});
  expect([retiring.length, replica.mode]).toEqual([2, "installing"]);
  replica.stop();
  expect(fetches[1]!.cancelled).toBe(true);
});

/** What node 8 leads with, of a log that this node has all of. */
const HELD: SnapshotBase = { ...BASE, index: 3, term: 1 };

/** A node that applied all five entries, and knows it. */
function whole(machine = new FakeMachine(), before?: Fixture) {
  const whole = node(machine, before);
  whole.receive(append(6, 5, 5));
  whole.pass(2 * TICK_MS);
  return whole;
}

test("a database that differs is not read, nor given up before there is a source", () => {
  const { replica, machine, fetches, retiring, pass, receive, log, healed } = whole();
  const seen: number[] = [];
  expect(replica.readable).toBe(true);
  expect([replica.heal(4), replica.heal(4)]).toEqual([true, false]);
  expect([replica.readable, replica.followsData, replica.mode]).toEqual([
    false,
    false,
    "installing",
  ]);
  // Sessions still let go.
  pass(50);
  expect([machine.diverged, fetches.length]).toEqual([undefined, 0]);
  retiring[0]!();
  expect([machine.diverged, machine.installing]).toEqual([4, false]);
  pass(2 * TICK_MS);
  expect(fetches.map(({ from, least }) => [from, least])).toEqual([[8, 1]]);
  fetches[0]!.receiver.begin(HELD, () => expect(machine.installing).toBe(true));
  // The log is whole, and stays so.
  receive(append(6, 7, 6));
  pass(2 * TICK_MS);
  expect([log.lastIndex, machine.applied]).toEqual([7, [2, 3, 4, 5]]);
  replica.whenApplied(5, () => seen.push(replica.appliedIndex));
  fetches[0]!.receiver.done(6);
  expect([machine.diverged, replica.appliedIndex, healed()]).toEqual([undefined, 3, 1]);
  pass(50);
  expect(machine.applied).toEqual([2, 3, 4, 5, 4, 5, 6]);
  expect([replica.mode, replica.readable, log.baseIndex, seen]).toEqual(["following", true, 0, [
    6,
  ]]);
});

test("a stop at any step of healing is made good by the next start", () => {
  for (const step of ["found", "marked", "given up", "in place"]) {
    const machine = new FakeMachine();
    machine.checkpointIndex = machine.consistentIndex = 2;
    const first = whole(machine);
    first.replica.heal(4);
    if (step !== "found") first.retiring[0]!();
    first.pass(2 * TICK_MS);
    if (step === "given up" || step === "in place") {
      first.fetches[0]!.receiver.begin(HELD, () => {});
    }
    if (step === "in place") first.fetches[0]!.receiver.done(5);
    first.replica.stop();
    const again = node(machine, first.fixture.restart());
    again.receive(append(6, 5, 5));
    again.pass(2 * TICK_MS);
    if (step === "found" || step === "in place") {
      // Nothing is known any more, and it is found again; or it is over.
      expect([step, again.replica.mode, again.replica.readable]).toEqual([step, "following", true]);
      continue;
    }
    expect([step, again.replica.mode, again.replica.diverged]).toEqual([step, "installing", true]);
    expect(again.fetches.length).toBe(1);
    again.fetches[0]!.receiver.begin(HELD, () => {});
    expect(again.machine.installing).toBe(true);
    again.fetches[0]!.receiver.done(5);
    again.pass(50);
    expect([again.replica.readable, again.replica.appliedIndex]).toEqual([true, 5]);
    expect(again.healed()).toBe(1);
  }
});

/** Lets a node stand for election, and node 8 vote for it and take what it sends. */
function elect({ raft, sent, pass, receive }: ReturnType<typeof node>): void {
  for (let i = 0; i < 400 && raft.role === "follower"; i++) pass(TICK_MS);
  for (const preVote of [true, false]) {
    pass(TICK_MS);
    const { term } = sent.findLast((message) => message.type === "vote_request")!;
    receive({ type: "vote_response", term, preVote, granted: true, commitIndex: 5, commitTerm: 1 });
  }
  const { term, lastIndex } = raft;
  receive({
    type: "append_response",
    term,
    prevIndex: lastIndex - 1,
    success: true,
    matchIndex: lastIndex,
    hintIndex: 0,
    hintTerm: 0,
  });
  pass(2 * TICK_MS);
  expect([raft.role, raft.established]).toEqual(["leader", true]);
}

const handsOver = (sent: readonly Message[]) => sent.some(({ type }) => type === "timeout_now");

test("a node that differs and is elected hands over, and never leads its database", () => {
  const differing = whole();
  const { replica, retiring, sent } = differing;
  replica.heal(4);
  retiring[0]!();
  elect(differing);
  expect([replica.mode, handsOver(sent)]).toEqual(["installing", true]);
});

test("a leader whose database differs stops leading at once, and hands over", () => {
  const leading = whole();
  const { replica, machine, retiring, sent, pass } = leading;
  elect(leading);
  expect(replica.mode).toBe("leading");
  const errors: unknown[] = [];
  replica.whenCommitted(9, (error) => errors.push(error?.code));
  expect(replica.heal(5)).toBe(true);
  expect([replica.mode, replica.readable, errors]).toEqual(["retiring", false, ["NOT_LEADER"]]);
  expect(handsOver(sent)).toBe(false);
  retiring[0]!();
  pass(2 * TICK_MS);
  expect([replica.mode, retiring.length, machine.diverged]).toEqual(["installing", 2, undefined]);
  retiring[1]!();
  pass(2 * TICK_MS);
  expect([machine.diverged, handsOver(sent)]).toEqual([5, true]);
});

test("when the leader has nothing to give, another member is asked in between", () => {
  const { replica, fetches, retiring, pass, receive } = whole();
  replica.heal(4);
  retiring[0]!();
  for (let i = 0; i < 4; i++) {
    receive(append(6, 5, 5));
    pass(SNAPSHOT_RETRY_MS + 2 * TICK_MS);
    fetches.at(-1)!.receiver.failed();
  }
  expect(fetches.map(({ from }) => from)).toEqual([8, 9, 8, 9]);
});
