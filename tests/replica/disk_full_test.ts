import { expect, test } from "bun:test";
import { LOG_SPACE_RETRY_MAX_MS } from "../../lib/base/limits.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { EMPTY_CONFIGURATION } from "../../lib/raft/configuration.ts";
import { Raft } from "../../lib/raft/raft.ts";
import type { Configuration, Message } from "../../lib/raft/types.ts";
import { Replica } from "../../lib/replica/replica.ts";
import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import { FakeMachine } from "./fake_machine.ts";
import { command, Fixture } from "../log/harness.ts";

const SIZE = 3_000;
const TICK_MS = 50;

/** A machine whose local transactions are payloads that wait to be drained. */
/** A node on a disk that has no space for a second segment, in a cluster of `voters`. */
function node(voters: number[]) {
  const disk = new MemoryDisk();
  disk.free = 0;
  const fixture = new Fixture({ disk });
  const { log, loop } = fixture;
  const members = voters.map((id) => ({ id, address: `h:${id}`, httpUrl: `http://h:${id}` }));
  const configuration: Configuration = {
    voters,
    votersOutgoing: [],
    learners: [],
    standbys: [],
    spares: [],
    members,
  };
  const first = { type: "configuration", index: 1, term: 1, configuration } as const;
  fixture.write({ hardState: { term: 1, votedFor: undefined }, entries: [first] });
  const raft = new Raft(
    { id: 7, random: new SeededRandom(3), electionTicks: 10, heartbeatTicks: 2 },
    {
      hardState: log.hardState,
      firstIndex: 1,
      entries: [{ index: 1, term: 1, sizeBytes: 0, configuration }],
      baseIndex: 0,
      baseTerm: 0,
      baseConfiguration: EMPTY_CONFIGURATION,
      commitIndex: 0,
    },
  );
  const machine = new FakeMachine();
  const sent: [number, Message][] = [];
  const told: string[] = [];
  const replica = new Replica({
    raft,
    log,
    machine,
    clock: loop.clock,
    tickMs: TICK_MS,
    sender: { send: (to, message) => sent.push([to, message]), flush: () => {} },
    events: {
      onLeading: () => told.push("leading"),
      onRetiring: (quiet) => quiet(),
      onWritable: () => told.push("writable"),
      onChange: () => {},
      onFatal: (error) => {
        throw error;
      },
    },
  });
  const pass = (durationMs: number) => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += TICK_MS) {
      loop.pass(TICK_MS);
      loop.settle();
    }
  };
  return { disk, fixture, log, loop, raft, machine, sent, told, replica, pass };
}

test("a follower on a full disk takes what has room, loses the rest, and votes", () => {
  const { replica, log, loop, sent, disk, pass } = node([7, 8, 9]);
  const append = (index: number) => {
    const head = { type: "append_request", term: 1, prevIndex: index - 1, prevTerm: 1 } as const;
    replica.receive(8, { ...head, commitIndex: 0, entries: [command(index, 1, SIZE)] });
    loop.settle();
  };
  for (let index = 2; index <= 40; index++) append(index);
  const last = log.lastIndex;
  expect(last).toBeGreaterThan(10);
  expect([last < 40, log.durableIndex]).toEqual([true, last]);
  const request = { type: "vote_request", term: 2, preVote: false, transfer: true } as const;
  const end = { lastIndex: last, lastTerm: 1, commitIndex: 0, commitTerm: 0 };
  replica.receive(9, { ...request, ...end });
  loop.settle();
  expect(sent.at(-1)).toMatchObject([9, { type: "vote_response", term: 2, granted: true }]);
  disk.free = Infinity;
  pass(LOG_SPACE_RETRY_MAX_MS);
  const { hardState } = log;
  expect(hardState).toMatchObject({ votedFor: 9, term: 2 });
  const head = { type: "append_request", term: 2, prevIndex: last, prevTerm: 1 } as const;
  replica.receive(9, { ...head, commitIndex: 0, entries: [command(last + 1, 2, SIZE)] });
  loop.settle();
  expect(log.lastIndex).toBe(last + 1);
});

test("a leader on a full disk says so, and proposes what has no room once there is some", () => {
  const { replica, raft, log, loop, machine, disk, told, pass } = node([7]);
  raft.campaign();
  replica.start();
  pass(200);
  expect([told, replica.mode]).toEqual([["leading"], "leading"]);
  expect(replica.spaceRefusal?.code).toBe("DISK_FULL");
  expect(replica.spaceRefusal?.outcome).toBe("rejected");
  const committed: number[] = [];
  for (let seq = 1; seq <= 30; seq++) {
    const payload = new Uint8Array(SIZE).fill(seq);
    machine.waiting.push({ databaseId: MAIN_DATABASE_ID, payload, complete: true, seq });
    replica.whenCommitted(seq, (error) => error === undefined ? committed.push(seq) : undefined);
  }
  replica.captured();
  loop.settle();
  pass(200);
  const count = committed.length;
  expect(count).toBeGreaterThan(10);
  expect(count).toBeLessThan(30);
  expect(log.durableIndex).toBe(log.lastIndex);
  expect(replica.writable).toBe(false);
  disk.free = Infinity;
  pass(LOG_SPACE_RETRY_MAX_MS);
  expect(committed.length).toBe(30);
  expect([replica.writable, replica.spaceRefusal]).toEqual([true, undefined]);
  expect(told.at(-1)).toBe("writable");
});
