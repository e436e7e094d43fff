import { expect, test } from "bun:test";
import { flipBytes } from "./byte_flip.ts";

const FLIPS = 12;
const TEST_TIMEOUT_MS = 240_000;

test("a changed byte in Raft's files is mended or refused, never answered from", async () => {
  const outcomes = await flipBytes({ count: FLIPS, seed: 7 });
  expect(outcomes).toHaveLength(FLIPS);
  expect(outcomes.some(({ type }) => type === "mended")).toBe(true);
}, TEST_TIMEOUT_MS);
