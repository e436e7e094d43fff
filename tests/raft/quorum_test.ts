import { expect, test } from "bun:test";
import { below, SeededRandom } from "../../lib/base/random.ts";
import {
  hasQuorum,
  majority,
  majorityValue,
  quorumValue,
  tally,
  type Vote,
} from "../../lib/raft/quorum.ts";
import type { Configuration, NodeId } from "../../lib/raft/types.ts";

function configurationOf(voters: NodeId[], votersOutgoing: NodeId[] = []): Configuration {
  return { voters, votersOutgoing, learners: [], standbys: [], spares: [], members: [] };
}

/** Every subset of the voters that is a majority, tried one by one. */
function slowMajorityValue(voters: readonly NodeId[], valueOf: (id: NodeId) => number): number {
  let best = 0;
  for (let subset = 0; subset < 1 << voters.length; subset++) {
    const members = voters.filter((_, at) => subset & (1 << at));
    if (members.length * 2 <= voters.length) continue;
    best = Math.max(best, Math.min(...members.map(valueOf)));
  }
  return best;
}

/** Whether a majority grants, and no majority is without somebody who vouches for what it holds. */
function isWonSlowly(configuration: Configuration, vote: (id: NodeId) => Vote): boolean {
  if (!hasQuorum(configuration, (id) => vote(id) !== "no")) return false;
  return [configuration.voters, configuration.votersOutgoing].every((half) => {
    for (let subset = 1; subset < 1 << half.length; subset++) {
      const members = half.filter((_, at) => subset & (1 << at));
      const isMajority = members.length * 2 > half.length;
      if (isMajority && members.every((id) => vote(id) !== "yes")) return false;
    }
    return true;
  });
}

function randomVoters(random: SeededRandom): NodeId[] {
  return [1, 2, 3, 4, 5, 6, 7].filter(() => below(random, 2) === 0);
}

test("a majority is more than half", () => {
  expect([1, 2, 3, 4, 5, 6, 7].map(majority)).toEqual([1, 2, 2, 3, 3, 4, 4]);
});

test("the value of a majority agrees with trying every subset", () => {
  const random = new SeededRandom(1);
  for (let round = 0; round < 5000; round++) {
    const voters = randomVoters(random);
    const outgoing = randomVoters(random);
    const values = new Map([...voters, ...outgoing].map((id) => [id, below(random, 6)]));
    const valueOf = (id: NodeId) => values.get(id) ?? 0;
    const slow = slowMajorityValue(voters, valueOf);
    expect(majorityValue(voters, valueOf)).toBe(slow);
    const joint = outgoing.length === 0 ? slow : Math.min(
      slow,
      slowMajorityValue(outgoing, valueOf),
    );
    expect(quorumValue(configurationOf(voters, outgoing), valueOf)).toBe(joint);
  }
});

test("votes are won, lost or pending as every way to fill in the missing ones says", () => {
  const random = new SeededRandom(2);
  for (let round = 0; round < 3000; round++) {
    const configuration = configurationOf(
      [1, ...randomVoters(random).slice(1)],
      randomVoters(random),
    );
    const voters = [...new Set([...configuration.voters, ...configuration.votersOutgoing])];
    const votes = new Map<NodeId, Vote>();
    const answers = ["yes", "weak", "no"] as const;
    for (const id of voters) if (below(random, 3) > 0) votes.set(id, answers[below(random, 3)]!);
    const missing = voters.filter((id) => !votes.has(id));
    let wins = 0;
    for (let filled = 0; filled < 1 << missing.length; filled++) {
      const vote = (id: NodeId) =>
        votes.get(id) ?? (filled & (1 << missing.indexOf(id)) ? "yes" : "no");
      if (isWonSlowly(configuration, vote)) wins++;
    }
    const expected = wins === 0 ? "lost" : wins === 1 << missing.length ? "won" : "pending";
    expect(tally(configuration, votes)).toBe(expected);
  }
});

test("a joint configuration needs both halves", () => {
  const joint = configurationOf([1, 2, 3], [3, 4, 5]);
  expect(hasQuorum(joint, (id) => [1, 2].includes(id))).toBe(false);
  expect(hasQuorum(joint, (id) => [4, 5].includes(id))).toBe(false);
  expect(hasQuorum(joint, (id) => [2, 3, 4].includes(id))).toBe(true);
});

test("votes of nodes outside the configuration do not count", () => {
  const votes = new Map<NodeId, Vote>([[1, "yes"], [8, "yes"], [9, "yes"]]);
  expect(tally(configurationOf([1, 2, 3]), votes)).toBe("pending");
});

test("weak votes help where an even number of voters leaves one to spare", () => {
  const tallyOf = (count: number, ...votes: Vote[]) => {
    const voters = Array.from({ length: count }, (_, at) => at + 1);
    return tally(configurationOf(voters), new Map(votes.map((vote, at) => [at + 1, vote])));
  };
  expect(tallyOf(1, "weak")).toBe("lost");
  expect(tallyOf(2, "yes", "weak")).toBe("won");
  expect(tallyOf(2, "weak", "weak")).toBe("lost");
  expect(tallyOf(3, "yes", "weak", "no")).toBe("lost");
  expect(tallyOf(3, "yes", "weak")).toBe("pending");
  expect(tallyOf(4, "yes", "yes", "weak", "no")).toBe("won");
  expect(tallyOf(4, "yes", "weak", "weak", "no")).toBe("lost");
  expect(tallyOf(5, "yes", "yes", "weak", "weak")).toBe("pending");
});
