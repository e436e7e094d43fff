/** What a client knows of its cluster, and whom it asks next; pure. */
import { MEMBERS_MAX } from "../base/limits.ts";
import type { ClusterView } from "./transport.ts";

/** What a client knows of its cluster. */
export interface Knowledge {
  /** The addresses that the user gave; never forgotten. */
  readonly seeds: readonly string[];
  /** The addresses of the members, as last heard. */
  readonly members: readonly string[];
  readonly leader: string | undefined;
  /** The term in which `leader` leads, or 0. */
  readonly term: number;
}

/** The answer of one node to a round of questions; no view when it knows nothing of clusters. */
export interface Answer {
  readonly url: string;
  readonly view: ClusterView | undefined;
}

/** The one form in which an address is known here: without the slash that some write at its end. */
export function sameForm(url: string): string {
  return url.endsWith("/") ? url.slice(0, -1) : url;
}

/** Knows the seeds only. */
export function initialKnowledge(urls: readonly string[]): Knowledge {
  const seeds = urls.map(sameForm);
  return { seeds, members: [], leader: undefined, term: 0 };
}

/** Whom a round of questions goes to: everybody known, once each. */
export function everybody(known: Knowledge): string[] {
  const urls = known.leader === undefined ? [] : [known.leader];
  return [...new Set([...urls, ...known.members, ...known.seeds])];
}

/** Takes in an answer. A view of an older term than the one known changes nothing. */
export function learn(known: Knowledge, { url, view }: Answer): Knowledge {
  if (view === undefined) return { ...known, leader: known.leader ?? url };
  if (view.term < known.term) return known;
  const members = view.memberUrls.slice(0, MEMBERS_MAX).map(sameForm);
  // A node that knows of no leader in this term does not make one that is known less true.
  const leader = view.leaderUrl === undefined
    ? (view.term === known.term ? known.leader : undefined)
    : sameForm(view.leaderUrl);
  return {
    ...known,
    members: members.length === 0 ? known.members : members,
    leader,
    term: view.term,
  };
}

/** Takes in that a node named the leader while it refused or passed on a request. */
export function learnLeader(known: Knowledge, url: string): Knowledge {
  const leader = sameForm(url);
  return known.leader === leader ? known : { ...known, leader };
}

/** Takes in that a node does not answer, or does not lead any more. */
export function doubt(known: Knowledge, url: string): Knowledge {
  return known.leader === url ? { ...known, leader: undefined } : known;
}

/**
 * Where a request goes after a round of questions.
 *
 * @param suspect The node that just failed: it is not asked again as long as others only repeat
 * that it leads, unless `patience` has run out. Then any node that answered has to pass the
 * request on: perhaps it reaches a leader that this client cannot reach.
 * @returns Undefined when there is nobody to ask yet.
 */
export function chooseTarget(
  known: Knowledge,
  answered: readonly string[],
  suspect: string | undefined,
  patience: boolean,
): string | undefined {
  if (known.leader !== undefined && known.leader !== suspect) return known.leader;
  if (patience) return undefined;
  const other = answered.find((url) => url !== suspect);
  return other ?? answered[0];
}
