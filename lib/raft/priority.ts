/**
 * Which voters should lead rather than others. A weight decides who campaigns first and whom a
 * leader hands over to; it never decides whether a vote is granted.
 */
import type { Configuration, Member, NodeId } from "./types.ts";

/** The weight of a member that names none. */
export const DEFAULT_WEIGHT = 1;
/** The highest weight. */
export const WEIGHT_MAX = 255;

/** Further waits of a voter of weight 0, or a learner: everybody else has tried twice by then. */
const LAST_RESORT_WAITS = 4;
/** Further waits of any other voter, however many weights are above its own. */
const WAITS_MAX = 2;

export function isWeight(weight: number): boolean {
  return Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX;
}

export function weightOf(member: Member | undefined): number {
  return member?.weight ?? DEFAULT_WEIGHT;
}

/** The weight of node `id`; the default when it is no member. */
export function weightIn(configuration: Configuration, id: NodeId): number {
  return weightOf(configuration.members.find((member) => member.id === id));
}

/**
 * How many shortest election timeouts a node waits beyond its own one, so that the voters of
 * higher weights campaign first: one for each weight above its own, within bounds.
 */
export function extraWaits(configuration: Configuration, id: NodeId): number {
  const { members, voters, learners } = configuration;
  if (learners.includes(id)) return LAST_RESORT_WAITS;
  // This runs for every sign of the leader, and seldom is there any weight.
  if (members.every(({ weight }) => weight === undefined)) return 0;
  const own = weightIn(configuration, id);
  const above = new Set<number>();
  for (const member of members) {
    const weight = weightOf(member);
    if (weight > own && member.id !== id && voters.includes(member.id)) above.add(weight);
  }
  if (own === 0 && above.size > 0) return LAST_RESORT_WAITS;
  return Math.min(above.size, WAITS_MAX);
}
