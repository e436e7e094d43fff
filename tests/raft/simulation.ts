/**
 * One random run: a cluster under loss, repetition, reordering, partitions, crashes that lose what
 * was not synced, and changes of the membership; then everything is healed and has to work again.
 * The same seed gives the same run.
 */
import { assert, present } from "../../lib/base/assert.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { ConfigurationChange, Entry, NodeId } from "../../lib/raft/types.ts";
import { Oracle } from "./checkers.ts";
import { Cluster, type Envelope, memberOf, type TestNode } from "./harness.ts";

const NETWORK_MAX = 300;
const LATE_MAX = 40;
const LIVENESS_ROUNDS_MAX = 600;

/** What a run did, so that a test can tell that it did something. */
export interface RunSummary {
  readonly committed: number;
  readonly leaders: number;
  readonly truncations: number;
  readonly configurations: number;
  readonly reads: number;
}

/** How often each action is drawn; a seed draws its own weights, so that runs differ. */
type Weights = readonly (readonly [weight: number, action: (run: Run) => void])[];

/** Looks at a run in the middle of it: what is on the disks, and what was ever committed. */
export type Glance = (cluster: Cluster, committed: readonly Entry[]) => void;

const GLANCE_STEPS = 50;

export function runSimulation(seed: number, steps: number, glance?: Glance): RunSummary {
  return new Run(seed).run(steps, glance);
}

class Run {
  readonly #random: SeededRandom;
  readonly #oracle = new Oracle();
  readonly #cluster: Cluster;
  #cut = new Set<NodeId>();
  #frozen: NodeId | undefined;
  #late: Envelope[] = [];
  #nextId: NodeId;
  /** Some log does not begin at the beginning any more. */
  #closed = false;

  constructor(seed: number) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#cluster = new Cluster({
      random: (id) => new SeededRandom(seed * 1000 + id),
      electionTicks: 4 + below(random, 8),
      heartbeatTicks: 1 + below(random, 3),
      limits: {
        appendEntriesMax: 1 + below(random, 6),
        appendBytesMax: 20 + below(random, 200),
        inflightMessagesMax: 1 + below(random, 5),
        inflightBytesMax: 20 + below(random, 400),
        uncommittedEntriesMax: 5 + below(random, 50),
        pendingReadsMax: 1 + below(random, 20),
      },
      observer: this.#oracle,
    });
    this.#oracle.watch(this.#cluster);
    const size = [1, 2, 3, 3, 3, 4, 5, 5][below(random, 8)]!;
    this.#nextId = size + 1;
    this.#cluster.bootstrap(Array.from({ length: size }, (_, i) => i + 1));
  }

  run(steps: number, glance: Glance | undefined): RunSummary {
    const weights = this.#drawWeights();
    const total = weights.reduce((sum, [weight]) => sum + weight, 0);
    for (let step = 0; step < steps; step++) {
      let at = below(this.#random, total);
      const drawn = weights.find(([weight]) => (at -= weight) < 0);
      present(drawn, "action")[1](this);
      if (step % GLANCE_STEPS === 0) glance?.(this.#cluster, this.#oracle.commits.entries);
    }
    this.#heal();
    return {
      committed: this.#oracle.commits.index,
      leaders: this.#oracle.leaders,
      truncations: this.#oracle.truncations,
      configurations: this.#oracle.configurations,
      reads: this.#oracle.reads.answered,
    };
  }

  #drawWeights(): Weights {
    const upTo = (bound: number) => below(this.#random, bound + 1);
    return [
      [600, (run) => run.#deliver()],
      [100 + upTo(400), (run) => run.#tick()],
      [100 + upTo(400), (run) => run.#sync()],
      [80, (run) => run.#propose()],
      [upTo(50), (run) => run.#read()],
      [upTo(40), (run) => run.#drop()],
      [upTo(40), (run) => run.#repeat()],
      [upTo(10), (run) => run.#crash()],
      [10, (run) => run.#restart()],
      [upTo(6), (run) => run.#partition()],
      [upTo(10), (run) => run.#isolateLeader()],
      [5, (run) => run.#rejoin()],
      [upTo(20), (run) => run.#change()],
      [upTo(5), (run) => run.#transfer()],
      [upTo(10), (run) => run.#breakConnection()],
      [upTo(10), (run) => run.#campaign()],
      [below(this.#random, 3) === 0 ? 10 : 0, (run) => run.#compact()],
    ];
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[below(this.#random, items.length)];
  }

  /** Runs an input on a node, then does what a driver does. */
  #input(node: TestNode | undefined, input: (node: TestNode) => void): void {
    if (node?.raft === undefined) return;
    input(node);
    this.#settle(node);
  }

  #settle(node: TestNode): void {
    // Now and then several inputs share one batch of effects.
    if (below(this.#random, 4) > 0) this.#process(node);
  }

  #process(node: TestNode): boolean {
    const busy = this.#cluster.process(node.id) !== undefined;
    this.#oracle.check(node);
    return busy;
  }

  #running(): TestNode | undefined {
    return this.#pick(this.#cluster.running);
  }

  #leader(): TestNode | undefined {
    return this.#pick(this.#cluster.running.filter((node) => node.raft?.role === "leader"));
  }

  #deliver(): void {
    const { network } = this.#cluster;
    if (network.length === 0) return;
    // Mostly in order, as connections are; at times not.
    const at = below(this.#random, 3) > 0 ? 0 : below(this.#random, network.length);
    const [envelope] = network.splice(at, 1);
    if (network.length > NETWORK_MAX) network.splice(0, NETWORK_MAX / 2);
    if (this.#cut.has(envelope!.from) !== this.#cut.has(envelope!.to)) return;
    this.#input(
      this.#cluster.nodes.get(envelope!.to),
      () => this.#cluster.deliver(envelope!),
    );
  }

  #tick(): void {
    const node = this.#running();
    if (node?.id !== this.#frozen) this.#input(node, ({ raft }) => raft?.tick());
  }

  #sync(): void {
    this.#input(this.#running(), ({ id }) => void this.#cluster.sync(id));
  }

  #propose(): void {
    const count = 1 + below(this.#random, 3);
    const payload = new Uint8Array(below(this.#random, 60));
    const proposals = Array.from({ length: count }, () => ({ payload, checksum: 0 }));
    this.#input(this.#leader(), ({ raft }) => void raft?.propose(proposals));
  }

  #read(): void {
    this.#input(this.#running(), (node) => {
      const ticket = present(node.raft, "running node").read();
      this.#oracle.reads.ask(node, ticket, this.#oracle.commits.index);
    });
  }

  #drop(): void {
    const { network } = this.#cluster;
    network.splice(below(this.#random, network.length), 1);
  }

  /** A message arrives twice, the second time much later perhaps. */
  #repeat(): void {
    const envelope = this.#pick(this.#cluster.network);
    if (envelope !== undefined) this.#late.push(envelope);
    if (this.#late.length < LATE_MAX && below(this.#random, 2) === 0) return;
    const at = below(this.#random, this.#late.length);
    this.#cluster.network.push(...this.#late.splice(at, 1));
  }

  #crash(): void {
    const node = this.#running();
    if (node === undefined) return;
    this.#cluster.crash(node.id);
    this.#oracle.crashed(node);
  }

  #restart(): void {
    const down = [...this.#cluster.nodes.values()].filter(({ raft }) => raft === undefined);
    const node = this.#pick(down);
    if (node === undefined) return;
    this.#cluster.restart(node.id);
    if (below(this.#random, 2) === 0) return;
    for (const other of this.#cluster.running) {
      if (other !== node) this.#input(other, ({ raft }) => raft?.onPeerRestarted(node.id));
    }
  }

  #partition(): void {
    for (const id of this.#cluster.nodes.keys()) {
      if (below(this.#random, 3) === 0) this.#cut.add(id);
    }
  }

  #rejoin(): void {
    this.#cut.clear();
    this.#frozen = undefined;
  }

  /** A leader that does not know that it was replaced is where most goes wrong. */
  #isolateLeader(): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    this.#cut = new Set([leader.id]);
    // Its clock may stand still as well: nothing but a quorum may then tell it that it leads.
    if (below(this.#random, 2) === 0) this.#frozen = leader.id;
  }

  #change(): void {
    this.#input(this.#leader(), (node) => {
      const change = this.#drawChange(node);
      if (change !== undefined) node.raft?.proposeConfiguration(change);
    });
  }

  #drawChange(node: TestNode): ConfigurationChange | undefined {
    const { configuration } = present(node.raft, "running node").status();
    const { members, standbys, spares } = configuration;
    const standby = this.#pick(standbys);
    if (standby !== undefined && below(this.#random, 4) > 0) {
      return { type: "assign", id: standby, role: "voter" };
    }
    if (!this.#closed && members.length < 4 && this.#cluster.nodes.size < 9) {
      const id = this.#nextId++;
      this.#cluster.add(id);
      const role = below(this.#random, 4) === 0 ? "spare" : "standby";
      return { type: "add", role, member: memberOf(id) };
    }
    const spare = this.#pick(spares);
    if (spare !== undefined && below(this.#random, 2) === 0) {
      return { type: "assign", id: spare, role: "standby" };
    }
    const member = this.#pick(members);
    if (member === undefined) return undefined;
    if (below(this.#random, 3) === 0) {
      const role = below(this.#random, 2) === 0 ? "spare" : "standby";
      return { type: "assign", id: member.id, role };
    }
    return below(this.#random, 3) === 0
      ? { type: "update_member", member: { ...member, address: "elsewhere:9001" } }
      : { type: "remove", id: member.id };
  }

  #transfer(): void {
    const to = this.#pick([...this.#cluster.nodes.keys()]);
    if (to !== undefined) this.#input(this.#leader(), ({ raft }) => void raft?.transfer(to));
  }

  #breakConnection(): void {
    const peer = this.#pick([...this.#cluster.nodes.keys()]);
    if (peer !== undefined) this.#input(this.#leader(), ({ raft }) => raft?.onUnreachable(peer));
  }

  #campaign(): void {
    this.#input(this.#running(), ({ raft }) => raft?.campaign());
  }

  /**
   * A node forgets the beginning of its log. Not beyond what every node holds, since here nobody
   * sends snapshots; for the same reason nobody joins from then on.
   */
  #compact(): void {
    const node = this.#running();
    if (node?.raft === undefined || node.writes.length > 0) return;
    let upTo = Math.min(node.raft.commitIndex, this.#oracle.commits.index);
    for (const { durable } of this.#cluster.nodes.values()) {
      let held = Math.min(upTo, durable.entries.length);
      while (held > 0 && durable.entries[held - 1] !== this.#oracle.commits.entries[held - 1]) {
        held--;
      }
      upTo = Math.min(upTo, held);
    }
    if (upTo <= node.base.index) return;
    this.#cluster.compact(node.id, upTo + 1);
    this.#closed = true;
  }

  /** Everything works again: there is a leader, proposals commit, all members agree. */
  #heal(): void {
    this.#rejoin();
    for (const node of this.#cluster.nodes.values()) {
      if (node.raft === undefined) this.#cluster.restart(node.id);
    }
    let proposed: { index: number; entry: unknown } | undefined;
    for (let round = 0; round < LIVENESS_ROUNDS_MAX; round++) {
      for (const node of this.#cluster.running) {
        this.#input(node, ({ raft }) => raft?.tick());
      }
      this.#exchange();
      const leader = this.#established();
      if (leader === undefined) continue;
      if (proposed === undefined || leader.entries[proposed.index - 1] !== proposed.entry) {
        const payload = new Uint8Array(1);
        const result = leader.raft!.propose([{ payload, checksum: 0 }]);
        this.#process(leader);
        if (!result.accepted) continue;
        proposed = { index: result.index, entry: leader.entries[result.index - 1] };
      } else if (this.#isConverged(leader, proposed.index)) return;
    }
    const states = this.#cluster.running.map(({ raft }) => JSON.stringify(raft?.status()));
    assert(false, `the healed cluster does not work:\n${states.join("\n")}`);
  }

  /** Delivers and syncs until nothing moves. */
  #exchange(): void {
    for (let busy = true; busy;) {
      busy = false;
      for (const node of this.#cluster.running) {
        if (this.#process(node)) busy = true;
        while (this.#cluster.sync(node.id)) busy = true;
      }
      const { network } = this.#cluster;
      this.#cluster.network = [];
      for (const envelope of network) {
        busy = true;
        this.#cluster.deliver(envelope);
        const node = this.#cluster.nodes.get(envelope.to);
        if (node?.raft !== undefined) this.#process(node);
      }
    }
  }

  #established(): TestNode | undefined {
    const leaders = this.#cluster.running.filter(({ raft }) => raft?.established);
    return leaders.toSorted((a, b) => b.raft!.term - a.raft!.term)[0];
  }

  /** All but spares hold and commit the entry, no read waits, no change is half done. */
  #isConverged(leader: TestNode, index: number): boolean {
    const { configuration, peers, commitIndex } = present(leader.raft, "leader").status();
    if (configuration.votersOutgoing.length > 0 || commitIndex < index) return false;
    const holds = (id: NodeId) => !configuration.spares.includes(id);
    return peers.every(({ id, state }) => !holds(id) || state === "replicate") &&
      configuration.members.every(({ id }) => {
        if (!holds(id)) return true;
        const node = this.#cluster.node(id);
        return node.raft!.commitIndex >= index && this.#oracle.reads.pendingOf(node) === 0;
      });
  }
}
