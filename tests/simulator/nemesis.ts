/** Brings about the faults that a seed drew, each class at its own times. */
import type { Cluster } from "./cluster.ts";
import { WRITE_OPERATIONS } from "./faults.ts";
import type { Counters } from "./marks.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { SimulatedNode } from "./node.ts";
import type { FaultTimes, Settings } from "./settings.ts";
import type { World } from "./world.ts";

/** Nodes that may be lost for good in one run: fewer than a quorum of three. */
const LOST_MAX = 1;

/** See the file comment. */
export class Nemesis {
  readonly #world: World;
  readonly #settings: Settings;
  readonly #counters: Counters;
  readonly #network: SimulatedNetwork;
  readonly #cluster: Cluster;
  readonly #electionUs: number;
  #over = false;

  constructor(
    world: World,
    settings: Settings,
    counters: Counters,
    network: SimulatedNetwork,
    cluster: Cluster,
  ) {
    this.#world = world;
    this.#settings = settings;
    this.#counters = counters;
    this.#network = network;
    this.#cluster = cluster;
    this.#electionUs = settings.electionTicks * settings.tickUs;
  }

  start(): void {
    for (const name of Object.keys(this.#settings.faults) as (keyof FaultTimes)[]) {
      const meanUs = this.#settings.faults[name];
      if (meanUs > 0) this.#schedule(name, meanUs);
    }
  }

  /** From now on there are no more faults. */
  stop(): void {
    this.#over = true;
  }

  #schedule(name: keyof FaultTimes, meanUs: number): void {
    const world = this.#world;
    world.after(world.between(1, Math.floor(2 * meanUs)), undefined, name, () => {
      if (this.#over) return;
      this.#strike(name);
      this.#schedule(name, meanUs);
    });
  }

  #strike(name: keyof FaultTimes): void {
    this.#counters.count(`fault ${name}`);
    const cluster = this.#cluster;
    switch (name) {
      case "crash":
        return this.#crash();
      case "kill":
        return this.#kill();
      case "pause":
        return this.#pause();
      case "clockJump":
        return this.#jump();
      case "partition":
        return this.#partition();
      case "slowPath":
        return this.#slowPath();
      case "duel":
        return this.#duel();
      case "reset":
        return this.#reset();
      case "stall":
        return this.#stall();
      case "writeError":
        this.#running()?.refuse(this.#world.pick(WRITE_OPERATIONS)!);
        return;
      case "cutStart":
        return this.#cutStart();
      case "damage":
        return this.#damage();
      case "change":
        return cluster.change();
      case "transfer":
        return cluster.transfer();
      case "campaign":
        return cluster.campaign();
      case "checkpoint":
        return this.#checkpoint();
    }
  }

  #checkpoint(): void {
    const life = this.#running()?.running;
    if (life !== undefined) this.#world.after(0, life.owner, "checkpoint", () => life.checkpoint());
  }

  /** Often the leader, since most goes wrong around it. */
  #running(): SimulatedNode | undefined {
    const leading = this.#world.chance(400) ? this.#cluster.leading : undefined;
    return leading ?? this.#world.pick(this.#cluster.running);
  }

  #later(node: SimulatedNode): void {
    const world = this.#world;
    world.after(world.delayUs(this.#electionUs), undefined, "restart", () => {
      if (!this.#over) node.start();
    });
  }

  #crash(): void {
    const all = this.#world.chance(100);
    const node = this.#running();
    const victims = all ? this.#cluster.running : node === undefined ? [] : [node];
    for (const victim of victims) {
      victim.end("crash");
      this.#later(victim);
    }
  }

  #kill(): void {
    const node = this.#running();
    if (node === undefined) return;
    if (this.#world.chance(400)) node.stop();
    else node.end("kill");
    // A stop takes its time; a start while it is under way does nothing.
    this.#later(node);
    this.#world.after(4 * this.#electionUs, undefined, "restart", () => {
      if (!this.#over) node.start();
    });
  }

  #pause(): void {
    const owner = this.#running()?.life;
    if (owner === undefined) return;
    const us = this.#world.delayUs(4 * this.#electionUs);
    this.#counters.hit("node paused");
    this.#world.tell(owner.nodeId, () => `stands still for ${us} µs`);
    owner.pausedUntilUs = Math.max(owner.pausedUntilUs, this.#world.nowUs + us);
  }

  #jump(): void {
    const life = this.#running()?.running;
    if (life === undefined) return;
    this.#counters.hit("clock jumped");
    this.#world.tell(life.owner.nodeId, () => "clock jumps ahead");
    life.clock.jump(this.#world.delayUs(4 * this.#electionUs));
  }

  #stall(): void {
    const node = this.#running();
    if (node === undefined) return;
    this.#counters.hit("disk stalled");
    const us = this.#world.delayUs(2 * this.#electionUs);
    this.#world.tell(node.id, () => `disk stalls for ${us} µs`);
    node.stall(us);
  }

  #partition(): void {
    const world = this.#world;
    const network = this.#network;
    const ids = this.#cluster.nodes.map(({ id }) => id);
    network.mend();
    const kind = world.below(4);
    if (kind === 0) {
      // Two sides.
      const one = new Set(ids.filter(() => world.chance(500)));
      for (const from of ids) {
        for (const to of ids) if (one.has(from) !== one.has(to)) network.cut(from, to);
      }
    } else if (kind === 1) {
      // One node, in one direction or both.
      const alone = (world.chance(500) ? this.#cluster.leading?.id : undefined) ?? world.pick(ids)!;
      const directions = world.below(3);
      for (const id of ids) {
        if (directions !== 0) network.cut(alone, id);
        if (directions !== 1) network.cut(id, alone);
      }
    } else {
      // Some pairs, so that others see both.
      for (const from of ids) {
        for (const to of ids) {
          if (from >= to || !world.chance(400)) continue;
          network.cut(from, to);
          if (kind === 2) network.cut(to, from);
        }
      }
    }
    world.tell(0, () => "the network is partitioned");
    world.after(world.delayUs(3 * this.#electionUs), undefined, "mend", () => {
      world.tell(0, () => "the network is whole");
      network.mend();
    });
  }

  /**
   * The leader is cut off, with what it goes on to write; when it is back, its successor is gone,
   * so that both histories meet while neither is committed everywhere.
   */
  #duel(): void {
    const world = this.#world;
    const first = this.#cluster.leading;
    if (first === undefined) return;
    const electionUs = this.#electionUs;
    this.#isolate(first.id);
    world.after(world.between(electionUs, 3 * electionUs), undefined, "duel", () => {
      if (this.#over) return;
      this.#network.mend();
      const others = this.#cluster.nodes.filter((node) =>
        node !== first && node.running?.raft.role === "leader"
      );
      const second = world.pick(others);
      if (second === undefined) return;
      if (world.chance(500)) this.#isolate(second.id);
      else {
        second.end("crash");
        this.#later(second);
      }
      world.after(world.delayUs(2 * electionUs), undefined, "mend", () => this.#network.mend());
    });
  }

  #isolate(alone: number): void {
    this.#world.tell(alone, () => "is cut off");
    for (const { id } of this.#cluster.nodes) {
      this.#network.cut(alone, id);
      this.#network.cut(id, alone);
    }
  }

  #reset(): void {
    const one = this.#running();
    const other = this.#world.pick(this.#cluster.nodes);
    if (one === undefined || other === undefined || one === other) return;
    if (!this.#world.chance(300)) this.#network.reset(one, other);
    else this.#network.halfOpen(one, other, this.#world.delayUs(2 * this.#electionUs));
  }

  #slowPath(): void {
    const one = this.#running()?.id;
    const other = this.#world.pick(this.#cluster.nodes)?.id;
    if (one === undefined || other === undefined || one === other) return;
    const delayUs = this.#world.delayUs(this.#electionUs);
    const forUs = this.#world.delayUs(4 * this.#electionUs);
    this.#world.tell(one, () => `is ${delayUs} µs away from n${other} for ${forUs} µs`);
    this.#network.slow(one, other, delayUs, forUs);
    if (this.#world.chance(500)) this.#network.slow(other, one, delayUs, forUs);
  }

  #cutStart(): void {
    const node = this.#running();
    if (node === undefined) return;
    if (this.#world.chance(300)) node.cutAt(this.#world.pick(["sync", "rename", "syncFolder"])!);
    else {
      node.end("crash");
      node.cutStart = true;
      this.#later(node);
    }
  }

  /** A node's disk rots, or is emptied, while it is down. */
  #damage(): void {
    const cluster = this.#cluster;
    const lost = cluster.nodes.filter((node) => node.lost).length;
    // A disk that was promised to hold is gone: fewer than a quorum may be so.
    if (lost >= LOST_MAX || this.#settings.voters < 3) return;
    const configuration = cluster.leading?.running?.raft.status().configuration;
    if (configuration === undefined || configuration.voters.length < 3) return;
    if (configuration.votersOutgoing.length > 0 && configuration.votersOutgoing.length < 3) return;
    const node = this.#running();
    if (node === undefined) return;
    node.end(this.#world.chance(500) ? "crash" : "kill");
    if (this.#world.chance(150)) node.wipe();
    else node.damage();
    this.#later(node);
  }
}
