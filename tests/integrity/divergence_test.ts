import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { DivergenceJudge } from "../../lib/integrity/divergence.ts";
import type { Clock } from "../../lib/io/clock.ts";
import { silentLog } from "../../lib/observe/log.ts";
import type { PageDigest } from "../../lib/wire/command.ts";

const GOOD = { low: 1, high: 2, pages: 3 };
const BAD = { low: 9, high: 2, pages: 3 };
const LEADER = 1;

/** Every wait is over at once. */
const HASTY: Clock = {
  nowMs: () => 0,
  wallMs: () => 0,
  after: (_, callback) => {
    queueMicrotask(callback);
    return () => {};
  },
  soon: queueMicrotask,
};

/** Node `nodeId` among as many as there are digests; undefined for one that does not know. */
function judgeOf(nodeId: number, digests: readonly (PageDigest | undefined | "down")[]) {
  const accused: number[] = [];
  const diverged: number[] = [];
  const judge = new DivergenceJudge({
    nodeId,
    clock: HASTY,
    log: silentLog,
    members: () =>
      digests.map((_, at) => ({ id: at + 1, address: `n${at + 1}`, httpUrl: `h${at + 1}` })),
    leader: () => LEADER,
    digestAt: () => digests[nodeId - 1] as PageDigest | undefined,
    ask: ({ id }) => {
      const digest = digests[id - 1];
      if (digest !== "down") return Promise.resolve(digest);
      return Promise.reject(new DatabaseError("CONNECTION_LOST", `node ${id} is down`));
    },
    accuse: ({ id }) => Promise.resolve(accused.push(id)),
    onDiverged: ({ index }) => void diverged.push(index),
  });
  return { judge, accused, diverged };
}

const CLAIM = { index: 5 };

test("a follower that stands alone has diverged", async () => {
  const { judge, accused, diverged } = judgeOf(3, [GOOD, GOOD, BAD]);
  await judge.differs({ ...CLAIM, ...GOOD }, BAD);
  expect(diverged).toEqual([5]);
  expect(accused).toEqual([]);
  expect(judge.diverged?.index).toBe(5);
  // Once is enough.
  await judge.differs({ ...CLAIM, ...GOOD }, BAD);
  expect(diverged).toEqual([5]);
});

test("when others hold what the follower holds, the leader is told", async () => {
  const { judge, accused, diverged } = judgeOf(3, [BAD, GOOD, GOOD]);
  await judge.differs({ ...CLAIM, ...BAD }, GOOD);
  expect(diverged).toEqual([]);
  expect(accused).toEqual([LEADER]);
});

test("when nobody else knows, the log's leader is believed", async () => {
  for (const third of [undefined, "down"] as const) {
    const { judge, diverged } = judgeOf(2, [GOOD, BAD, third]);
    await judge.differs({ ...CLAIM, ...GOOD }, BAD);
    expect(diverged).toEqual([5]);
  }
});

test("a leader that is told asks for itself", async () => {
  const wrong = judgeOf(LEADER, [BAD, GOOD, GOOD]);
  await wrong.judge.accused(5);
  expect(wrong.diverged).toEqual([5]);
  const right = judgeOf(LEADER, [GOOD, GOOD, BAD]);
  await right.judge.accused(5);
  expect(right.diverged).toEqual([]);
  const alone = judgeOf(LEADER, [GOOD, BAD, "down"]);
  await alone.judge.accused(5);
  expect(alone.diverged).toEqual([]);
});

test("a node that is stopped judges nobody", async () => {
  const { judge, diverged } = judgeOf(3, [GOOD, GOOD, BAD]);
  judge.stop();
  await judge.differs({ ...CLAIM, ...GOOD }, BAD);
  expect(diverged).toEqual([]);
});
