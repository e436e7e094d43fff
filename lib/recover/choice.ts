/**
 * Which of several survivors a new cluster begins with, and what may be lost by it. Nothing that
 * was acknowledged can be missing when those who are here could lawfully have elected a leader.
 *
 * The argument. A survivor is *whole* when its log, term and vote are certain, and it is not
 * recovering: it still holds all that it ever acknowledged. Let W be the most up-to-date of the
 * whole ones (last term, then last index), and F the latest configuration in its log. Suppose a
 * quorum of F is whole; if F is joint, a majority of each half.
 *
 * 1. Had all nodes started again, and W been the first to stand for election, in a term that nobody
 *    has seen: it counts votes by F, as a node goes by the latest configuration in its log,
 *    committed or not. Every whole survivor would give its vote: it knows no later term, and its
 *    log is no more up-to-date. So W would have been elected, by the rules and without anybody who
 *    is not here.
 * 2. A leader holds every entry that was committed in an earlier term (Raft, §5.4.3; for changes of
 *    the membership by joint configurations: thesis, §4.3). So W's log holds all that was ever
 *    committed. In particular no configuration after F was: to be committed, it would have needed a
 *    joint one, in the logs of a majority of F, of which one is whole and here.
 * 3. What is chosen is at least as up-to-date as W, though it may not be whole: then it is the
 *    beginning of a log that was. Its last entry comes from a lawful leader of some term t. t equal
 *    to W's last term: both logs come from that leader, and this one reaches as far as W's. t
 *    later: what was committed was committed before term t, as an entry of term t or later that is
 *    committed would be in W's log by (2); so the leader of t held all of it, at places before its
 *    own. In both cases the log that is chosen holds all that was committed (Log Matching).
 *
 * It is presumed that each folder is as its node left it: one that was put back from an older copy
 * has forgotten without showing it. Where two logs hold different entries of one term, that was so,
 * or worse; then nothing is certain.
 */
import { DatabaseError } from "../base/errors.ts";
import type { LogPoint } from "../log/batch.ts";
import { isJoint, votersOf } from "../raft/configuration.ts";
import { hasQuorum } from "../raft/quorum.ts";
import type { Configuration, LogIndex, NodeId } from "../raft/types.ts";
import { chainEquals } from "../wire/chain.ts";
import { pointAt, type Source } from "./source.ts";
import type { Survivor } from "./survivor.ts";

/** A folder that a new cluster can be made of. */
export type UsableSurvivor = Survivor & { readonly source: Source };

/** Something that may be lost. */
export type Loss =
  /** Too few voters are here and whole: what the others acknowledged may be missing. */
  | {
    readonly type: "voters";
    readonly missing: readonly NodeId[];
    readonly voters: readonly NodeId[];
    readonly joint: boolean;
  }
  /** A folder holds traces of entries that the chosen one does not have. */
  | {
    readonly type: "entries";
    readonly dir: string;
    readonly first: LogIndex;
    readonly last: LogIndex;
  }
  /** The database that is taken differed from those of the others after an entry. */
  | { readonly type: "pages"; readonly dir: string; readonly index: LogIndex }
  /** Two folders hold different entries at one place, of one term. */
  | { readonly type: "contradiction"; readonly dir: string; readonly index: LogIndex };

/** What is to be done. */
export interface Choice {
  readonly chosen: UsableSurvivor;
  /** Why this one and no other; empty when there is only one. */
  readonly why: string;
  /** The latest configuration that is known. */
  readonly configuration: Configuration;
  readonly losses: readonly Loss[];
}

/**
 * Chooses among the folders of one cluster.
 *
 * @throws {DatabaseError} `CONFIG` when they are of different clusters, or two of one node;
 * `CORRUPT` when nothing can be made of any.
 */
export function choose(survivors: readonly Survivor[]): Choice {
  refuseStrangers(survivors);
  const usable = survivors.filter((one): one is UsableSurvivor =>
    !(one.source instanceof DatabaseError)
  );
  const [chosen, ...others] = usable.toSorted(byCompleteness);
  if (chosen === undefined) throw survivors[0]!.source;
  const whole = survivors.filter(({ voter }) => voter !== undefined);
  const best = mostUpToDate(whole)?.voter;
  const known = chosen.source.configuration;
  const configuration = known.members.length > 0 ? known : best?.configuration ?? known;
  const contradictions = survivors.flatMap((other) => contradiction(other, chosen));
  const here = new Set(whole.map(({ nodeId }) => nodeId));
  const couldElect = best !== undefined && hasQuorum(best.configuration, (id) => here.has(id));
  const isCertain = couldElect && contradictions.length === 0 &&
    compareLogs(chosen.source.last, best.last) >= 0;
  const losses = [...contradictions, ...survivors.flatMap((one) => entriesBeyond(one, chosen))];
  if (!couldElect) losses.push(missingVoters(configuration, here));
  return {
    chosen,
    why: others.length === 0 ? "" : reason(chosen, others[0]!),
    configuration,
    losses: [...(isCertain ? [] : losses), ...wrongPages(chosen)],
  };
}

/** Positive when the first is more up-to-date: by its last term, then by its last index. */
export function compareLogs(
  a: Pick<LogPoint, "term" | "index">,
  b: Pick<LogPoint, "term" | "index">,
): number {
  return a.term - b.term || a.index - b.index;
}

function wrongPages({ dir, source: { diverged } }: UsableSurvivor): Loss[] {
  return diverged === undefined ? [] : [{ type: "pages", dir, index: diverged }];
}

/**
 * The best one first. Of equal ones the one whose database did not differ, then the whole one, then
 * the one whose database is further on.
 */
function byCompleteness(a: UsableSurvivor, b: UsableSurvivor): number {
  return compareLogs(b.source.last, a.source.last) ||
    Number(a.source.diverged !== undefined) - Number(b.source.diverged !== undefined) ||
    Number(b.voter !== undefined) - Number(a.voter !== undefined) ||
    b.source.completeIndex - a.source.completeIndex;
}

function reason(chosen: UsableSurvivor, next: UsableSurvivor): string {
  const [a, b] = [chosen.source.last, next.source.last];
  if (a.term !== b.term) return `its last entry is of the latest term, ${a.term}`;
  if (a.index !== b.index) return `of those of the latest term, ${a.term}, it has the most entries`;
  if (chosen.voter !== undefined && next.voter === undefined) {
    return "no other has more entries, and it is whole";
  }
  return "no other has more entries";
}

/** The most up-to-date of the whole survivors, whether or not a cluster can be made of it. */
function mostUpToDate(whole: readonly Survivor[]): Survivor | undefined {
  return whole.toSorted((a, b) => compareLogs(b.voter!.last, a.voter!.last))[0];
}

function missingVoters(configuration: Configuration, here: ReadonlySet<NodeId>): Loss {
  const voters = votersOf(configuration);
  const missing = voters.filter((id) => !here.has(id));
  return { type: "voters", missing, voters, joint: isJoint(configuration) };
}

/** Traces of entries that are more up-to-date than what is chosen, and may have been committed. */
function entriesBeyond(one: Survivor, { source: { last } }: UsableSurvivor): Loss[] {
  const copied = one.source instanceof DatabaseError ? 0 : one.source.completeIndex;
  let first = copied > last.index ? last.index + 1 : Infinity;
  let end = first < Infinity ? copied : 0;
  for (const table of one.tables) {
    if (compareLogs(table.last, last) <= 0) continue;
    end = Math.max(end, table.lastIndex);
    let index = table.lastIndex;
    while (index > table.base.index && compareLogs(table.pointAt(index - 1), last) > 0) index--;
    first = Math.min(first, index === table.base.index ? Math.min(index, last.index + 1) : index);
  }
  return end > 0 ? [{ type: "entries", dir: one.dir, first, last: end }] : [];
}

/** Where two logs hold entries of the same term, they must be the same ones. */
function contradiction(one: Survivor, chosen: UsableSurvivor): Loss[] {
  if (one === chosen) return [];
  for (const table of one.tables) {
    const end = Math.min(table.lastIndex, chosen.source.last.index);
    for (let index = end; index > table.base.index; index--) {
      const other = pointAt(chosen.source, index);
      if (other === undefined) break;
      const mine = table.pointAt(index);
      if (mine.term !== other.term) continue;
      if (!chainEquals(mine.chain, other.chain)) {
        return [{ type: "contradiction", dir: one.dir, index }];
      }
      break;
    }
  }
  return [];
}

function refuseStrangers(survivors: readonly Survivor[]): void {
  const [first, ...others] = survivors;
  for (const [at, other] of others.entries()) {
    if (other.clusterId !== first!.clusterId) {
      throw new DatabaseError(
        "CONFIG",
        `${first!.dir} is of cluster ${first!.clusterId}, but ${other.dir} of ${other.clusterId}`,
        { hint: "Name folders of one cluster only. Nothing was changed." },
      );
    }
    const twin = survivors.slice(0, at + 1).find(({ nodeId }) => nodeId === other.nodeId);
    if (twin === undefined) continue;
    throw new DatabaseError(
      "CONFIG",
      `${twin.dir} and ${other.dir} are both of node ${other.nodeId}`,
      { hint: "Name the one that the node used last. Nothing was changed." },
    );
  }
}
