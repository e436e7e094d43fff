/**
 * Plays the driver for several cores in memory: disks that forget what was not synced, a network
 * that delivers only what it is told to. Nothing happens by itself.
 */
import { assert, present } from "../../lib/base/assert.ts";
import type { Random } from "../../lib/base/random.ts";
import { EMPTY_CONFIGURATION, initialConfiguration } from "../../lib/raft/configuration.ts";
import type { RaftLimits } from "../../lib/raft/options.ts";
import { Raft } from "../../lib/raft/raft.ts";
import type {
  Configuration,
  Effects,
  Entry,
  HardState,
  LogIndex,
  LogMark,
  Member,
  Message,
  NodeId,
  Outbound,
  ReadResult,
  SnapshotBase,
  Term,
} from "../../lib/raft/types.ts";

/** A message on its way. */
export interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
}

/** A write that was handed to the disk and is not durable yet. */
interface Write {
  readonly hardState: HardState | undefined;
  readonly reset: SnapshotBase | undefined;
  readonly truncateFrom: LogIndex | undefined;
  readonly append: readonly Entry[];
  readonly recovered: boolean;
  readonly mark: LogMark | undefined;
  readonly sendOnSync: readonly Outbound[];
}

/** What a disk holds. */
interface Disk {
  hardState: HardState;
  /** The entry of index `i` is at `i - 1`; those up to the base are there for the checks only. */
  entries: Entry[];
  base: Base;
  /** It was cut at damage, and that was not made good. */
  recovering: boolean;
}

/** The entries before `firstIndex` are gone; this is what is left of them. */
interface Base {
  readonly index: LogIndex;
  readonly term: Term;
  readonly configuration: Configuration;
}

const NO_BASE: Base = { index: 0, term: 0, configuration: EMPTY_CONFIGURATION };

/** One node: a core and its disk. */
export interface TestNode {
  readonly id: NodeId;
  /** Undefined while the node is down. */
  raft: Raft | undefined;
  /** The log as the driver sees it: durable or not. */
  entries: Entry[];
  base: Base;
  readonly durable: Disk;
  writes: Write[];
  starts: number;
}

/** What a harness tells a test, as it happens. */
export interface Observer {
  onEffects?(node: TestNode, effects: Effects): void;
  /** A message enters the network. */
  onSent?(node: TestNode, message: Message, to: NodeId): void;
  onReads?(node: TestNode, reads: readonly ReadResult[]): void;
}

export interface ClusterOptions {
  readonly random: (id: NodeId) => Random;
  readonly electionTicks?: number;
  readonly heartbeatTicks?: number;
  readonly leaseTicks?: number;
  readonly limits?: Partial<RaftLimits>;
  readonly observer?: Observer;
}

export function memberOf(id: NodeId): Member {
  return { id, address: `node${id}:9001`, httpUrl: `http://node${id}:8080` };
}

export function commandEntry(index: LogIndex, term: Term, sizeBytes = 10): Entry {
  return { type: "command", index, term, payload: new Uint8Array(sizeBytes), checksum: 0 };
}

/** Cores, disks and a network. */
export class Cluster {
  readonly nodes = new Map<NodeId, TestNode>();
  network: Envelope[] = [];
  /** What a snapshot stands for. */
  readonly #contents = new Map<SnapshotBase, readonly Entry[]>();
  readonly #options: ClusterOptions;
  readonly #observer: Observer;
  readonly #randoms = new Map<NodeId, Random>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#observer = options.observer ?? {};
  }

  /** Adds nodes whose logs begin with one configuration of all of them. */
  bootstrap(ids: readonly NodeId[]): void {
    const configuration = initialConfiguration(ids.map(memberOf));
    const first: Entry = { type: "configuration", index: 1, term: 1, configuration };
    for (const id of ids) this.add(id, [first], { term: 1, votedFor: undefined });
  }

  /** Adds a node that has `entries` on its disk, and starts it. */
  add(
    id: NodeId,
    entries: readonly Entry[] = [],
    hardState: HardState = { term: 0, votedFor: undefined },
  ): void {
    assert(!this.nodes.has(id), `node ${id} exists`);
    const durable = { hardState, entries: [...entries], base: NO_BASE, recovering: false };
    this.#randoms.set(id, this.#options.random(id));
    this.nodes.set(id, {
      id,
      raft: undefined,
      entries: [],
      base: NO_BASE,
      durable,
      writes: [],
      starts: 0,
    });
    this.restart(id);
  }

  node(id: NodeId): TestNode {
    return present(this.nodes.get(id), `node ${id}`);
  }

  raft(id: NodeId): Raft {
    return present(this.node(id).raft, `running node ${id}`);
  }

  get running(): TestNode[] {
    return [...this.nodes.values()].filter((node) => node.raft !== undefined);
  }

  /** Stops a node; what was not durable is lost. */
  crash(id: NodeId): void {
    const node = this.node(id);
    node.raft = undefined;
    node.writes = [];
    node.entries = [...node.durable.entries];
  }

  /** Cuts the log of a node that is down, as its start does after damage. */
  damage(id: NodeId, keep: number): void {
    const { raft, durable } = this.node(id);
    assert(raft === undefined, `node ${id} runs`);
    assert(keep >= durable.base.index, "the base is not cut off");
    durable.entries.length = keep;
    durable.recovering = true;
  }

  /** Starts a node with what its disk holds. */
  restart(id: NodeId): void {
    const node = this.node(id);
    assert(node.raft === undefined, `node ${id} runs`);
    node.starts++;
    const { durable } = node;
    const { base } = durable;
    node.base = base;
    node.entries = [...durable.entries];
    const { electionTicks = 10, heartbeatTicks = 2, leaseTicks = 0, limits = {} } = this.#options;
    node.raft = new Raft({
      id,
      random: present(this.#randoms.get(id), "random"),
      electionTicks,
      heartbeatTicks,
      leaseTicks,
      limits,
    }, {
      hardState: durable.hardState,
      firstIndex: base.index + 1,
      entries: durable.entries.slice(base.index).map((entry) => ({
        index: entry.index,
        term: entry.term,
        sizeBytes: entry.type === "command" ? entry.payload.length : 0,
        configuration: entry.type === "configuration" ? entry.configuration : undefined,
      })),
      baseIndex: base.index,
      baseTerm: base.term,
      baseConfiguration: base.configuration,
      commitIndex: base.index,
      recoveryNonce: durable.recovering ? node.starts : undefined,
    });
  }

  /** Lets a node forget the entries before `firstIndex`. */
  compact(id: NodeId, firstIndex: LogIndex): void {
    const node = this.node(id);
    const index = firstIndex - 1;
    const raft = this.raft(id);
    assert(index <= raft.commitIndex, "only committed entries are compacted");
    assert(index <= node.durable.entries.length, "only durable entries are compacted");
    const configuration = node.entries.slice(0, index).findLast((entry) =>
      entry.type === "configuration"
    );
    node.base = node.durable.base = {
      index,
      term: raft.termAt(index)!,
      configuration: configuration?.type === "configuration"
        ? configuration.configuration
        : EMPTY_CONFIGURATION,
    };
    raft.onCompacted(firstIndex);
  }

  /** A snapshot of what a node has committed, up to `index`. */
  snapshot(id: NodeId, index: LogIndex): SnapshotBase {
    const raft = this.raft(id);
    assert(index <= raft.commitIndex, "only what is committed is in a snapshot");
    const entries = this.node(id).entries.slice(0, index);
    const configuration = entries.findLast((entry) => entry.type === "configuration");
    assert(configuration?.type === "configuration", "a snapshot has a configuration");
    const base = {
      index,
      term: present(raft.termAt(index), `entry ${index}`),
      chain: { a: index, b: 0 },
      configuration: configuration.configuration,
      knownInTerm: raft.term,
    };
    this.#contents.set(base, entries);
    return base;
  }

  /** A node has the snapshot durably in place. */
  install(id: NodeId, base: SnapshotBase): void {
    this.raft(id).installSnapshot(base);
  }

  /** Takes a node's effects: writes go to the disk's queue, messages to the network. */
  process(id: NodeId): Effects | undefined {
    const node = this.node(id);
    const { raft } = node;
    if (raft === undefined || !raft.hasEffects()) return undefined;
    const effects = raft.takeEffects();
    const { hardState, reset, truncateFrom, append, recovered, mark } = effects;
    const { send, sendOnSync, reads } = effects;
    if (reset !== undefined) {
      node.entries = [...present(this.#contents.get(reset), "snapshot")];
      node.base = reset;
    }
    if (truncateFrom !== undefined) {
      assert(truncateFrom <= node.entries.length, `nothing to truncate from ${truncateFrom}`);
      node.entries.length = truncateFrom - 1;
    }
    for (const entry of append) {
      assert(entry.index === node.entries.length + 1, `append of ${entry.index} leaves a gap`);
      node.entries.push(entry);
    }
    assert(raft.lastIndex === node.entries.length, "core and driver disagree on the log's end");
    if (mark === undefined) {
      assert(hardState === undefined && append.length === 0, "a write without a mark");
    }
    if (mark !== undefined || sendOnSync.length > 0) {
      node.writes.push({ hardState, reset, truncateFrom, append, recovered, mark, sendOnSync });
    }
    this.#observer.onEffects?.(node, effects);
    for (const outbound of send) this.#send(node, outbound);
    if (reads.length > 0) this.#observer.onReads?.(node, reads);
    return effects;
  }

  /** Makes the oldest write of a node durable. Returns false when there is none. */
  sync(id: NodeId): boolean {
    const node = this.node(id);
    const write = node.writes.shift();
    if (write === undefined) return false;
    const { durable } = node;
    if (write.hardState !== undefined) {
      assert(write.hardState.term >= durable.hardState.term, "a durable term went back");
      durable.hardState = write.hardState;
    }
    if (write.reset !== undefined) {
      durable.entries = [...present(this.#contents.get(write.reset), "snapshot")];
      durable.base = write.reset;
    }
    if (write.truncateFrom !== undefined) durable.entries.length = write.truncateFrom - 1;
    for (const entry of write.append) {
      assert(entry.index === durable.entries.length + 1, `write of ${entry.index} leaves a gap`);
      durable.entries.push(entry);
    }
    if (write.recovered) durable.recovering = false;
    for (const outbound of write.sendOnSync) this.#send(node, outbound);
    if (write.mark !== undefined) this.raft(id).onDurable(write.mark);
    return true;
  }

  /** Delivers a message; one for a node that is down is lost. */
  deliver(envelope: Envelope): void {
    this.nodes.get(envelope.to)?.raft?.step(envelope.from, envelope.message);
  }

  #send(node: TestNode, { to, message }: Outbound): void {
    const full = message.type === "append_range" ? fill(node, message) : message;
    if (full === undefined) return;
    const isQuestion = full.type === "vote_request" || full.type === "vote_response";
    if (!isQuestion || !full.preVote) {
      assert(
        full.term <= node.durable.hardState.term,
        `${full.type} reveals term ${full.term}, durable is ${node.durable.hardState.term}`,
      );
    }
    if (full.type === "vote_response" && full.granted && !full.preVote) {
      const { term, votedFor } = node.durable.hardState;
      assert(term > full.term || votedFor === to, `the vote for ${to} is not durable`);
    }
    if (full.type === "append_response" && full.success) {
      assert(
        full.matchIndex <= Math.max(node.durable.entries.length, node.base.index),
        `acknowledged ${full.matchIndex}, durable is ${node.durable.entries.length}`,
      );
    }
    this.#observer.onSent?.(node, full, to);
    this.network.push({ from: node.id, to, message: full });
  }
}

/** Puts the entries in; undefined when they are gone. */
function fill(
  node: TestNode,
  range: Extract<Outbound["message"], { type: "append_range" }>,
): Message | undefined {
  const { first, last, type: _, ...head } = range;
  if (last > node.entries.length) return undefined;
  assert(first > node.base.index, `entry ${first} was compacted`);
  return { type: "append_request", ...head, entries: node.entries.slice(first - 1, last) };
}
