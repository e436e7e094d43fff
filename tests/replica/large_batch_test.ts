import { expect, test } from "bun:test";
import { SeededRandom } from "../../lib/base/random.ts";
import type { Clock } from "../../lib/io/clock.ts";
import { EMPTY_CONFIGURATION, initialConfiguration } from "../../lib/raft/configuration.ts";
import { Raft } from "../../lib/raft/raft.ts";
import { Replica } from "../../lib/replica/replica.ts";
import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import { Fixture } from "../log/harness.ts";
import { FakeMachine } from "./fake_machine.ts";

const PARTS = 40;
/** Reading a part back and encoding it takes as long. */
const DRAIN_MS = 3;
/** Longer than this nothing else may wait: heartbeats are due every 100 ms. */
const TURN_MS_MAX = 20;

test("a large transaction is proposed in turns, so that heartbeats are not late", () => {
  const fixture = new Fixture();
  const { log, loop } = fixture;
  const member = { id: 7, address: "h:7", httpUrl: "http://h:7" };
  const configuration = initialConfiguration([member]);
  fixture.write({
    hardState: { term: 1, votedFor: undefined },
    entries: [{ type: "configuration", index: 1, term: 1, configuration }],
  });
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
  let workMs = 0;
  const clock: Clock = { ...loop.clock, nowMs: () => loop.clock.nowMs() + workMs };
  const machine = new FakeMachine();
  const { waiting: captured } = machine;
  machine.drain = () => {
    if (captured.length > 0) workMs += DRAIN_MS;
    return captured.shift();
  };
  const replica = new Replica({
    raft,
    log,
    machine,
    clock,
    tickMs: 50,
    sender: { send: () => {}, flush: () => {} },
    events: {
      onLeading: () => {},
      onRetiring: (quiet) => quiet(),
      onWritable: () => {},
      onChange: () => {},
      onFatal: (error) => {
        throw error;
      },
    },
  });
  raft.campaign();
  replica.start();
  loop.settle();
  loop.pass(50);
  loop.settle();
  expect(replica.mode).toBe("leading");

  for (let part = 1; part <= PARTS; part++) {
    const payload = new Uint8Array(100);
    captured.push({ databaseId: MAIN_DATABASE_ID, payload, complete: part === PARTS, seq: 1 });
  }
  let committed = false;
  replica.whenCommitted(1, (error) => committed = error === undefined);
  let longestMs = 0;
  const turn = (run: () => void) => {
    const beforeMs = workMs;
    run();
    longestMs = Math.max(longestMs, workMs - beforeMs);
  };
  turn(() => replica.captured());
  for (let turns = 0; turns < PARTS && captured.length > 0; turns++) turn(() => loop.pass(0));
  loop.settle();
  expect(longestMs).toBeLessThan(TURN_MS_MAX);
  expect([captured.length, committed]).toEqual([0, true]);
});
