import { expect, test } from "bun:test";
import { Inflight } from "../../lib/raft/inflight.ts";
import { limitsOf } from "../../lib/raft/options.ts";
import { Progress } from "../../lib/raft/progress.ts";

const LIMITS = limitsOf({ inflightMessagesMax: 3, inflightBytesMax: 100 });

test("a probe waits for its answer, then replication streams", () => {
  const peer = new Progress(2, 10, LIMITS);
  peer.sent(12, 5);
  expect([peer.state, peer.paused, peer.nextIndex]).toEqual(["probe", true, 10]);
  expect(peer.acknowledged(12, 0)).toBe(true);
  expect([peer.state, peer.paused, peer.nextIndex]).toEqual(["replicate", false, 13]);
  peer.sent(14, 5);
  peer.sent(15, 5);
  expect([peer.nextIndex, peer.inflight.count]).toEqual([16, 2]);
  peer.acknowledged(14, 0);
  expect([peer.matchIndex, peer.nextIndex, peer.inflight.count]).toEqual([14, 16, 1]);
});

test("a match never goes back", () => {
  const peer = new Progress(2, 10, LIMITS);
  peer.acknowledged(9, 0);
  expect(peer.acknowledged(4, 0)).toBe(false);
  expect([peer.matchIndex, peer.nextIndex]).toEqual([9, 10]);
});

test("a refusal moves back to where the logs may agree, never to what matched", () => {
  const peer = new Progress(2, 10, LIMITS);
  peer.sent(12, 0);
  expect(peer.refused(9, 4)).toBe(true);
  expect([peer.nextIndex, peer.paused]).toEqual([5, false]);
  peer.sent(12, 0);
  expect(peer.refused(4, 20)).toBe(true);
  expect(peer.nextIndex).toBe(4);
  peer.acknowledged(3, 0);
  peer.sent(12, 0);
  expect(peer.refused(12, 1)).toBe(true);
  expect([peer.state, peer.nextIndex, peer.inflight.count]).toEqual(["probe", 4, 0]);
});

test("old refusals change nothing", () => {
  const peer = new Progress(2, 10, LIMITS);
  expect(peer.refused(7, 2)).toBe(false);
  peer.acknowledged(9, 0);
  expect(peer.refused(9, 2)).toBe(false);
  expect(peer.refused(5, 2)).toBe(false);
  expect([peer.state, peer.nextIndex]).toEqual(["replicate", 10]);
});

test("a peer that waits for a snapshot goes on once it reaches the log", () => {
  const peer = new Progress(2, 10, LIMITS);
  peer.awaitSnapshot();
  expect(peer.refused(9, 2)).toBe(false);
  peer.acknowledged(30, 50);
  expect(peer.state).toBe("snapshot");
  peer.acknowledged(50, 50);
  expect([peer.state, peer.nextIndex]).toEqual(["replicate", 51]);
});

test("a restarted peer has nothing confirmed", () => {
  const peer = new Progress(2, 10, LIMITS);
  peer.acknowledged(9, 0);
  peer.caughtUp = true;
  peer.confirmedRound = 3;
  peer.restart(20);
  expect([peer.state, peer.matchIndex, peer.nextIndex]).toEqual(["probe", 0, 20]);
  expect([peer.caughtUp, peer.confirmedRound]).toEqual([false, 0]);
});

test("a peer is active for as long as it answered lately", () => {
  const peer = new Progress(2, 10, LIMITS);
  expect(peer.isActive(5, 10)).toBe(false);
  peer.heardAtTick = 5;
  expect([peer.isActive(14, 10), peer.isActive(15, 10)]).toEqual([true, false]);
});

test("messages in flight are bounded in number and in bytes", () => {
  const inflight = new Inflight(3, 100);
  inflight.add(1, 10);
  inflight.add(2, 10);
  expect(inflight.full).toBe(false);
  inflight.add(3, 10);
  expect(inflight.full).toBe(true);
  expect(() => inflight.add(4, 1)).toThrow();
  inflight.acknowledge(2);
  expect([inflight.count, inflight.full]).toEqual([1, false]);
  inflight.add(9, 500);
  expect([inflight.count, inflight.full]).toEqual([2, true]);
  inflight.acknowledge(8);
  expect([inflight.count, inflight.full]).toEqual([1, true]);
  inflight.acknowledge(9);
  expect([inflight.count, inflight.full]).toEqual([0, false]);
});

test("messages in flight go round the ring", () => {
  const inflight = new Inflight(3, 100);
  for (let index = 1; index < 20; index++) {
    inflight.add(index, 7);
    if (index >= 3) inflight.acknowledge(index - 2);
    expect(inflight.count).toBe(Math.min(index, 2));
  }
  inflight.clear();
  expect([inflight.count, inflight.full]).toEqual([0, false]);
});
