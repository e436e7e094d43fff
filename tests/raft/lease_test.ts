/** Reads under a lease, by many random runs in which all clocks agree, or one stands still. */
import { expect, test } from "bun:test";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { NodeId } from "../../lib/raft/types.ts";
import { Oracle } from "./checkers.ts";
import { Cluster, type Envelope, type TestNode } from "./harness.ts";

const IDS = [1, 2, 3];
const TICKS = 300;
const NETWORK_MAX = 60;

/** One run: every tick is a tick of every node, but for those of a leader that is `frozen`. */
class Run {
  readonly #random: SeededRandom;
  readonly #oracle = new Oracle();
  readonly #cluster: Cluster;
  readonly #freezes: boolean;
  #cut: NodeId | undefined;
  /** Messages that come some ticks late. */
  #late: Envelope[] = [];

  constructor(seed: number, freezes: boolean) {
    this.#random = new SeededRandom(seed);
    this.#freezes = freezes;
    this.#cluster = new Cluster({
      random: (id) => new SeededRandom(seed * 10 + id),
      electionTicks: 6,
      heartbeatTicks: 1,
      leaseTicks: 5,
      observer: this.#oracle,
    });
    this.#oracle.watch(this.#cluster);
    this.#cluster.bootstrap(IDS);
  }

  /** Returns how many reads were answered. */
  run(): number {
    for (let tick = 0; tick < TICKS; tick++) {
      for (const node of this.#cluster.running) {
        const isFrozen = this.#freezes && node.id === this.#cut && node.raft?.role === "leader";
        if (!isFrozen) node.raft?.tick();
        this.#process(node);
      }
      this.#disturb();
      for (let step = 0; step < 20; step++) this.#step();
    }
    return this.#oracle.reads.answered;
  }

  #chance(percent: number): boolean {
    return below(this.#random, 100) < percent;
  }

  #any(): TestNode {
    return this.#cluster.node(IDS[below(this.#random, IDS.length)]!);
  }

  #process(node: TestNode): void {
    this.#cluster.process(node.id);
    this.#oracle.check(node);
  }

  /** Now and then a node is cut off, crashes, is handed leadership, or campaigns. */
  #disturb(): void {
    if (this.#chance(4)) this.#cut = this.#chance(50) ? this.#leader()?.id : this.#any().id;
    if (this.#chance(8)) this.#cut = undefined;
    if (this.#chance(20)) {
      for (const { from, to, message } of this.#late.splice(0)) {
        this.#cluster.node(to).raft?.step(from, message);
      }
    }
    const node = this.#any();
    if (node.raft !== undefined && this.#chance(12)) {
      this.#cluster.crash(node.id);
      this.#oracle.crashed(node);
      this.#cluster.restart(node.id);
    }
    if (this.#chance(3)) this.#leader()?.raft?.transfer(this.#any().id);
    if (this.#chance(25)) this.#any().raft?.campaign();
  }

  #leader(): TestNode | undefined {
    return this.#cluster.running.find(({ raft }) => raft?.role === "leader");
  }

  #step(): void {
    const node = this.#any();
    const { network } = this.#cluster;
    if (this.#chance(8)) node.raft?.propose([{ payload: new Uint8Array(1), checksum: 0 }]);
    if (this.#chance(20)) {
      const ticket = node.raft!.read();
      this.#oracle.reads.ask(node, ticket, this.#oracle.commits.index);
    }
    if (this.#chance(60)) this.#cluster.sync(node.id);
    if (network.length > 0) {
      const [envelope] = network.splice(
        this.#chance(80) ? 0 : below(this.#random, network.length),
        1,
      );
      if (network.length > NETWORK_MAX) network.splice(0, NETWORK_MAX / 2);
      if (envelope!.message.type === "heartbeat_response" && this.#chance(30)) {
        this.#late.push(envelope!);
      }
      const isLost = envelope!.from === this.#cut || envelope!.to === this.#cut;
      if (!isLost) {
        this.#cluster.deliver(envelope!);
        this.#process(this.#cluster.node(envelope!.to));
      }
    }
    this.#process(node);
  }
}

test("with clocks that agree, reads under a lease see all that was committed", () => {
  let answered = 0;
  for (let seed = 1; seed <= 150; seed++) answered += new Run(seed, false).run();
  expect(answered).toBeGreaterThan(20_000);
}, 30_000);

test("a leader whose clock stands still answers from the past: the assumption is needed", () => {
  const seen: string[] = [];
  for (let seed = 1; seed <= 150 && seen.length === 0; seed++) {
    try {
      new Run(seed, true).run();
    } catch (error) {
      seen.push(String(error));
    }
  }
  expect(seen[0]).toMatch(/read .* sees \d+, committed was/);
}, 30_000);
