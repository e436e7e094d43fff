import { expect, test } from "bun:test";
import { number, onCluster, run, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

/** Longer than several election timeouts. */
const LONG_MS = 6_000;
const CALIBRATION_STEPS = 1_000_000;
const CLIENTS = 4;
const TEST_TIMEOUT_MS = 120_000;
/** Nobody waits for the long statement, but two processors have a lot to do meanwhile. */
const GAP_MAX_MS = 2_000;

function countTo(steps: number): string {
  return "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " +
    `${steps}) SELECT max(i) FROM c`;
}

test(
  "a statement that runs for seconds on the leader costs no election and stops no writer",
  async () => {
    await onCluster({}, async ({ cluster, nodes }) => {
      await run(nodes[0]!, WRITTEN_TABLE);
      const leader = await cluster.leader(START_TIMEOUT_MS);
      const startMs = performance.now();
      expect(await number(leader, countTo(CALIBRATION_STEPS))).toBe(CALIBRATION_STEPS);
      const steps = Math.round(CALIBRATION_STEPS * LONG_MS / (performance.now() - startMs));
      const before = await leader.cluster();

      const writers = new Writers(nodes, CLIENTS);
      writers.start();
      const longStartMs = performance.now();
      let found: number;
      try {
        found = await number(leader, countTo(steps));
      } finally {
        await writers.stop();
      }
      expect(found).toBe(steps);
      expect(performance.now() - longStartMs).toBeGreaterThan(LONG_MS / 2);

      const after = await leader.cluster();
      expect(after.term).toBe(before.term);
      expect(after.leader?.id).toBe(before.leader!.id);
      expect(writers.messages).toEqual([]);
      expect(writers.longestGapMs).toBeLessThan(GAP_MAX_MS);
      await writers.check(leader);
    });
  },
  TEST_TIMEOUT_MS,
);
