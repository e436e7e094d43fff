import { expect, test } from "bun:test";
import { ACTIONS } from "./kill_actions.ts";
import { killAnywhere } from "./kill_anywhere.ts";

const TEST_TIMEOUT_MS = 240_000;

test("killed at a random moment of anything, a node loses nothing and comes back", async () => {
  const rounds = ACTIONS.length;
  const { kills, acknowledged } = await killAnywhere({ rounds, seed: 11 });
  expect(Object.keys(kills).sort()).toEqual(ACTIONS.map(({ name }) => name).sort());
  expect(acknowledged).toBeGreaterThan(10 * rounds);
}, TEST_TIMEOUT_MS);
