/** What must hold at every step of every run, checked by someone who sees all nodes at once. */
import { assert, present } from "../../lib/base/assert.ts";
import { EMPTY_CONFIGURATION } from "../../lib/raft/configuration.ts";
import { hasQuorum } from "../../lib/raft/quorum.ts";
import type {
  Configuration,
  Effects,
  Entry,
  LogIndex,
  Message,
  NodeId,
  ReadResult,
  Term,
} from "../../lib/raft/types.ts";
import type { Cluster, Observer, TestNode } from "./harness.ts";

/** At most one leader in each term, for ever. */
export class ElectionSafety {
  readonly #leaders = new Map<Term, NodeId>();

  /** Returns whether this leader is new. */
  check(node: TestNode): boolean {
    const raft = present(node.raft, "running node");
    if (raft.role !== "leader") return false;
    const known = this.#leaders.get(raft.term);
    assert(known === undefined || known === node.id, `two leaders in term ${raft.term}`);
    this.#leaders.set(raft.term, node.id);
    return known === undefined;
  }
}

/** A node grants its vote to one candidate in a term, restarts included. */
export class VoteSafety {
  readonly #votes = new Map<string, NodeId>();

  check(node: TestNode, message: Message, to: NodeId): void {
    if (message.type !== "vote_response" || message.preVote || !message.granted) return;
    const key = `${node.id}@${message.term}`;
    const known = this.#votes.get(key);
    assert(known === undefined || known === to, `node ${key} votes for ${known} and ${to}`);
    this.#votes.set(key, to);
  }
}

/** Entries of one index and term are one entry, and so is everything before them. */
export class LogMatching {
  readonly #entries = new Map<string, { entry: Entry; previousTerm: Term }>();

  check(node: TestNode, appended: readonly Entry[]): void {
    for (const entry of appended) {
      const previousTerm = node.entries[entry.index - 2]?.term ?? 0;
      const key = `${entry.index}@${entry.term}`;
      const known = this.#entries.get(key);
      if (known === undefined) this.#entries.set(key, { entry, previousTerm });
      else {
        assert(known.entry === entry, `two entries ${key}`);
        assert(known.previousTerm === previousTerm, `two entries before ${key}`);
      }
    }
  }
}

/** What was committed stays, is the same everywhere, and is on a quorum's disks. */
export class Commits {
  readonly entries: Entry[] = [];
  readonly #cluster: Cluster;
  readonly #checked = new Map<TestNode, LogIndex>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  get index(): LogIndex {
    return this.entries.length;
  }

  forget(node: TestNode): void {
    this.#checked.delete(node);
  }

  check(node: TestNode): void {
    const raft = present(node.raft, "running node");
    const from = this.#checked.get(node) ?? 0;
    const { commitIndex } = raft;
    assert(commitIndex >= from, `node ${node.id} committed ${from}, now ${commitIndex}`);
    if (commitIndex > this.entries.length) this.#checkQuorum(node, commitIndex);
    for (let index = from + 1; index <= commitIndex; index++) {
      const entry = present(node.entries[index - 1], `entry ${index}`);
      const known = this.entries[index - 1];
      if (known === undefined) this.entries.push(entry);
      else assert(known === entry, `node ${node.id} commits another entry ${index}`);
    }
    this.#checked.set(node, commitIndex);
  }

  /** A new leader holds everything that was ever committed. */
  checkLeader(node: TestNode): void {
    this.entries.forEach((entry, at) => {
      assert(node.entries[at] === entry, `leader ${node.id} lacks committed entry ${at + 1}`);
    });
  }

  /** Whoever is first to commit led, and its configuration's disks hold the entry. */
  #checkQuorum(node: TestNode, index: LogIndex): void {
    const entry = node.entries[index - 1];
    const holds = (id: NodeId) => this.#cluster.node(id).durable.entries[index - 1] === entry;
    // What counts is the latest configuration; this very commit may have appended another one.
    const latest = configurationAt(node.entries, node.entries.length);
    const before = configurationAt(
      node.entries,
      node.entries.findLastIndex((known) =>
        known.type === "configuration" && known.configuration === latest
      ),
    );
    assert(
      hasQuorum(latest, holds) || hasQuorum(before, holds),
      `entry ${index} is committed without a quorum`,
    );
  }
}

/** The last configuration in a log up to `index`. */
export function configurationAt(entries: readonly Entry[], index: LogIndex): Configuration {
  for (let at = index - 1; at >= 0; at--) {
    const entry = entries[at];
    if (entry?.type === "configuration") return entry.configuration;
  }
  return EMPTY_CONFIGURATION;
}

/** A read sees everything that was committed before it was asked for; each is answered once. */
export class Reads {
  readonly #asked = new Map<string, LogIndex>();
  answered = 0;

  ask(node: TestNode, ticket: number, committed: LogIndex): void {
    const key = `${node.id}:${ticket}`;
    assert(!this.#asked.has(key), `ticket ${key} is used again`);
    this.#asked.set(key, committed);
  }

  check(node: TestNode, reads: readonly ReadResult[]): void {
    for (const { ticket, index } of reads) {
      const key = `${node.id}:${ticket}`;
      const committed = present(this.#asked.get(key), `read ${key}`);
      this.#asked.delete(key);
      if (index === undefined) continue;
      assert(index >= committed, `read ${key} sees ${index}, committed was ${committed}`);
      this.answered++;
    }
  }

  /** The reads of a node that crashed are never answered. */
  forget(node: TestNode): void {
    for (const key of [...this.#asked.keys()]) {
      if (key.startsWith(`${node.id}:`)) this.#asked.delete(key);
    }
  }

  pendingOf(node: TestNode): number {
    return [...this.#asked.keys()].filter((key) => key.startsWith(`${node.id}:`)).length;
  }
}

/** All checks, fed by a cluster. */
export class Oracle implements Observer {
  readonly elections = new ElectionSafety();
  readonly votes = new VoteSafety();
  readonly logs = new LogMatching();
  readonly reads = new Reads();
  #commits: Commits | undefined;
  leaders = 0;
  truncations = 0;
  configurations = 0;

  watch(cluster: Cluster): void {
    this.#commits = new Commits(cluster);
  }

  get commits(): Commits {
    return present(this.#commits, "cluster");
  }

  onEffects(node: TestNode, effects: Effects): void {
    this.logs.check(node, effects.append);
    if (effects.truncateFrom !== undefined) this.truncations++;
    this.configurations += effects.append.filter(({ type }) => type === "configuration").length;
    if (!effects.changed) return;
    const raft = present(node.raft, "running node");
    const status = raft.status();
    const expected = configurationAt(node.entries, node.entries.length);
    // A spare may know of a later one that its log does not hold.
    const { latest } = raft.copyState().configurations;
    assert(latest.configuration === expected, `node ${node.id} is in another configuration`);
    for (const peer of status.peers) {
      assert(peer.nextIndex > peer.matchIndex, `peer ${peer.id} of ${node.id} goes back`);
    }
  }

  onSent(node: TestNode, message: Message, to: NodeId): void {
    this.votes.check(node, message, to);
  }

  onReads(node: TestNode, reads: readonly ReadResult[]): void {
    this.reads.check(node, reads);
  }

  /** To be called after every step of a node. */
  check(node: TestNode): void {
    if (node.raft === undefined) return;
    if (this.elections.check(node)) {
      this.leaders++;
      this.commits.checkLeader(node);
    }
    this.commits.check(node);
  }

  crashed(node: TestNode): void {
    this.commits.forget(node);
    this.reads.forget(node);
  }
}
