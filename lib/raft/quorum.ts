/**
 * Counting. A joint configuration asks each half on its own (thesis, §4.3); an empty half agrees
 * with everything.
 */
import type { Configuration, NodeId } from "./types.ts";

/** How many of `count` voters are a majority. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * The highest value that a majority of each half has reached.
 *
 * @param valueOf Must not change while this runs.
 */
export function quorumValue(
  configuration: Configuration,
  valueOf: (id: NodeId) => number,
): number {
  const incoming = majorityValue(configuration.voters, valueOf);
  if (configuration.votersOutgoing.length === 0) return incoming;
  return Math.min(incoming, majorityValue(configuration.votersOutgoing, valueOf));
}

/** The highest value that a majority of `voters` has reached; 0 when there are none. */
export function majorityValue(
  voters: readonly NodeId[],
  valueOf: (id: NodeId) => number,
): number {
  const needed = majority(voters.length);
  let best = 0;
  // Quadratic without sorting: voters are few, and this runs for every acknowledgement.
  for (const candidate of voters) {
    const value = valueOf(candidate);
    if (value <= best) continue;
    let reached = 0;
    for (const voter of voters) if (valueOf(voter) >= value) reached++;
    if (reached >= needed) best = value;
  }
  return best;
}

/** Whether a majority of each half satisfies `holds`. */
export function hasQuorum(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  return hasMajority(configuration.voters, holds) &&
    (configuration.votersOutgoing.length === 0 || hasMajority(configuration.votersOutgoing, holds));
}

/** Whether `id` decides by itself: nobody else need hold anything that is committed. */
export function decidesAlone(configuration: Configuration, id: NodeId): boolean {
  return hasQuorum(configuration, (voter) => voter === id);
}

function hasMajority(voters: readonly NodeId[], holds: (id: NodeId) => boolean): boolean {
  let count = 0;
  for (const voter of voters) if (holds(voter)) count++;
  return count >= majority(voters.length);
}

/** Whether every majority of each half has a member that satisfies `holds`. */
function isInEveryQuorum(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  return [configuration.voters, configuration.votersOutgoing].every((half) =>
    half.length - half.filter(holds).length < majority(half.length)
  );
}

/** A voter's answer: `weak` is the yes of one that may have forgotten entries, see recovery.ts. */
export type Vote = "yes" | "weak" | "no";

/** What the votes say so far. */
export type VoteResult = "won" | "lost" | "pending";

/**
 * Counts votes. A majority of each half elects, and each majority that may have committed something
 * must have a member among those that vouch for it.
 *
 * @param votes Who answered what. Only voters count.
 */
export function tally(
  configuration: Configuration,
  votes: ReadonlyMap<NodeId, Vote>,
): VoteResult {
  /** @param missing What those who did not answer yet are taken to say. */
  const isWon = (missing: Vote) => {
    const vote = (id: NodeId) => votes.get(id) ?? missing;
    return hasQuorum(configuration, (id) => vote(id) !== "no") &&
      isInEveryQuorum(configuration, (id) => vote(id) === "yes");
  };
  if (isWon("no")) return "won";
  return isWon("yes") ? "pending" : "lost";
}
