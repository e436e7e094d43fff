import { expect, test } from "bun:test";
import { DIRECT_BYTES_MAX, WritePolicy } from "../../lib/io/write_policy.ts";

/** Runs `count` writes as the policy says; returns how many of them ran on the calling thread. */
function run(policy: WritePolicy, count: number, durationMs: (i: number) => number): number {
  let direct = 0;
  for (let i = 0; i < count; i++) {
    const mode = policy.choose(4096);
    if (mode === "direct") direct++;
    policy.record(mode, 4096, durationMs(i));
  }
  return direct;
}

test("a new disk is used through the pool until it has shown to be fast", () => {
  const policy = new WritePolicy();
  expect(run(policy, 16, () => 0.2)).toBe(0);
  expect(policy.choose(4096)).toBe("direct");
});

test("a disk whose median is slow never runs on the calling thread", () => {
  const policy = new WritePolicy();
  expect(run(policy, 10_000, (i) => i % 2 === 0 ? 0.2 : 1.6)).toBe(0);
});

test("one write above 25 ms moves to the pool, rare stalls below that do not", () => {
  const policy = new WritePolicy();
  run(policy, 20, () => 0.2);
  expect(run(policy, 1000, (i) => i % 20 === 0 ? 24 : 0.2)).toBe(1000);
  policy.record("direct", 4096, 25.1);
  expect(policy.choose(4096)).toBe("pool");
});

test("an average above 0.6 ms moves to the pool, however fast the pool seems", () => {
  const policy = new WritePolicy();
  run(policy, 20, () => 0.2);
  expect(run(policy, 200, () => 0.5)).toBe(200);
  const untilFound = 11;
  expect(run(policy, 16, () => 0.7)).toBe(untilFound);
});

test("a stalled disk blocks the caller only for the writes that reveal it", () => {
  const policy = new WritePolicy();
  run(policy, 100, () => 0.2);
  // Stalls on the calling thread, fast in the pool: the worst case for probing.
  let blockedMs = 0;
  for (let i = 0; i < 20_000; i++) {
    const mode = policy.choose(4096);
    if (mode === "direct") blockedMs += 100;
    policy.record(mode, 4096, mode === "direct" ? 100 : 0.2);
  }
  expect(blockedMs).toBeLessThanOrEqual(1500);
});

test("after a slow spell a fast disk gets the calling thread back", () => {
  const policy = new WritePolicy();
  run(policy, 100, () => 0.2);
  expect(run(policy, 100, () => 50)).toBe(1);
  run(policy, 64, () => 0.2);
  expect(policy.choose(4096)).toBe("direct");
});

test("a large write runs in the pool and does not count", () => {
  const policy = new WritePolicy();
  run(policy, 100, () => 0.2);
  expect(policy.choose(DIRECT_BYTES_MAX + 1)).toBe("pool");
  policy.record("pool", DIRECT_BYTES_MAX + 1, 400);
  expect(policy.choose(4096)).toBe("direct");
});
