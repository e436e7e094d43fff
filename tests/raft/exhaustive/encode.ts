/**
 * One canonical text for each state of a node, and one object for each text: what is equal is the
 * same object, so comparing states, messages and entries is comparing references or numbers.
 */
import { describeEntry } from "../../../lib/raft/describe.ts";
import type { Progress } from "../../../lib/raft/progress.ts";
import type { State } from "../../../lib/raft/state.ts";
import type { Entry } from "../../../lib/raft/types.ts";

/** Gives equal texts equal numbers, counted from 0. */
export class Numbering {
  readonly #numbers = new Map<string, number>();

  get size(): number {
    return this.#numbers.size;
  }

  of(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) this.#numbers.set(text, number = this.#numbers.size);
    return number;
  }
}

/** Keeps one object of all that have the same text. */
export class Pool<T> {
  readonly #known = new Map<string, T>();

  get size(): number {
    return this.#known.size;
  }

  one(text: string, make: () => T): T {
    let known = this.#known.get(text);
    if (known === undefined) this.#known.set(text, known = make());
    return known;
  }
}

const ENTRIES = new Pool<Entry>();

/** The one entry with this content. Commands are told apart by their size. */
export function internEntry(entry: Entry): Entry {
  return ENTRIES.one(describeEntry(entry), () => entry);
}

/** `1@1 2@2`: a log or a part of one. */
export function encodeEntries(entries: readonly Entry[]): string {
  return entries.map(describeEntry).join(" ");
}

/**
 * Everything in a core that decides what it does, between two batches of effects and without
 * reads. The log and the configurations follow from the node's entries. Points in time count as
 * distances, up to where they make no difference.
 */
export function encodeCore(state: State): string {
  const { durable, writing, votes, leadership, recovery } = state;
  const owed = writing && Math.min(state.tick - writing.sinceTick, 2 * state.electionTicks);
  const votesText = [...votes].sort(([a], [b]) => a - b).map(([id, vote]) => `${id}${vote}`);
  const parts: unknown[] = [
    state.role,
    state.term,
    state.votedFor,
    state.leader,
    state.removed,
    state.commitIndex,
    durable.leaderTerm,
    durable.index,
    writing && `${writing.mark.leaderTerm}/${writing.mark.index}/${owed}`,
    state.electionElapsed,
    state.electionTimeout,
    votesText.join(""),
    state.told?.index,
    recovery && `${recovery.nonce}/${recovery.term}/${recovery.goalIndex}`,
  ];
  if (leadership !== undefined) {
    const { transfer } = leadership;
    parts.push(
      leadership.startIndex,
      age(state, leadership.startTick),
      leadership.established,
      leadership.heartbeatElapsed,
      transfer && `${transfer.to}/${transfer.elapsed}/${transfer.told}`,
      ...leadership.peers.map((peer) => encodePeer(state, peer)),
    );
  }
  return parts.join();
}

function encodePeer(state: State, peer: Progress): string {
  return [
    peer.id,
    peer.state,
    peer.matchIndex,
    peer.nextIndex,
    peer.paused,
    peer.toldCommitIndex,
    peer.heardAtTick === undefined ? "never" : age(state, peer.heardAtTick),
    peer.caughtUp,
    peer.matchAtHeartbeat,
    peer.recovery && `${peer.recovery.nonce}:${peer.recovery.lastIndex}`,
    ...peer.inflight.lastIndexes(),
  ].join("/");
}

function age(state: State, tick: number): number {
  return Math.min(state.tick - tick, state.electionTicks);
}
