/** Brings about the faults that a seed drew, each class at its own times. */
import { isJoint } from "../../lib/raft/configuration.ts";
import type { Raft } from "../../lib/raft/raft.ts";
import type { Cluster } from "./cluster.ts";
import type { Atlas } from "./atlas.ts";
import { CHECKPOINT_FILES, START_FILES, WRITE_OPERATIONS } from "./faults.ts";
import type { Counters } from "./marks.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { SimulatedNode } from "./node.ts";
import type { FaultTimes, Settings } from "./settings.ts";
import type { World } from "./world.ts";

/** Bytes that a disk has left when it is full. */
const FULL_BYTES_MAX = 20_000;

/** See the file comment. */
export class Nemesis {
  readonly #world: World;
  readonly #settings: Settings;
  readonly #counters: Counters;
  readonly #network: SimulatedNetwork;
  readonly #cluster: Cluster;
  readonly #atlas: Atlas;
  readonly #electionUs: number;
  #over = false;

  constructor(
    world: World,
    settings: Settings,
    counters: Counters,
    network: SimulatedNetwork,
    cluster: Cluster,
    atlas: Atlas,
  ) {
    this.#world = world;
    this.#settings = settings;
    this.#counters = counters;
    this.#network = network;
    this.#cluster = cluster;
    this.#atlas = atlas;
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
        return this.#refuseWrite();
      case "cutStart":
        return this.#cutStart();
      case "damage":
        return this.#damage();
      case "strayWrite":
        return this.#strayWrite();
      case "readFault":
        return this.#readFault();
      case "fullDisk":
        return this.#fullDisk();
      case "slowNode":
        return this.#slowNode();
      case "change":
        return cluster.change();
      case "transfer":
        return cluster.transfer();
      case "campaign":
        return cluster.campaign();
      case "checkpoint":
        return this.#checkpoint();
      case "compact":
        return this.#compact(this.#running());
      case "lag":
        return this.#lag();
      case "diverge":
        return this.#diverge();
    }
  }

  #checkpoint(node = this.#running()): void {
    const life = node?.running;
    if (life !== undefined) this.#world.after(0, life.owner, "checkpoint", () => life.checkpoint());
  }

  #compact(node: SimulatedNode | undefined): void {
    const life = node?.running;
    if (life !== undefined) this.#world.after(0, life.owner, "compact", () => life.compact());
  }

  /**
   * A node is away until the others have compacted what it lacks. When it takes a snapshot then,
   * its power may go off in the middle, or that of the source.
   */
  #lag(): void {
    const world = this.#world;
    const node = this.#running();
    if (node === undefined) return;
    const electionUs = this.#electionUs;
    if (world.chance(500)) this.#isolate(node.id);
    else node.end(world.chance(500) ? "crash" : "kill");
    const awayUs = world.between(electionUs, 6 * electionUs);
    const others = () => this.#cluster.nodes.filter((other) => other !== node);
    world.after(awayUs, undefined, "lag", () => {
      if (!this.#over) { for (const other of others()) this.#checkpoint(other); }
    });
    world.after(awayUs + electionUs, undefined, "lag", () => {
      if (this.#over) return;
      for (const other of others()) this.#compact(other);
      this.#network.mend();
      node.start();
      const { snapshotUs } = this.#settings;
      const victim = world.chance(700) ? node : this.#cluster.leading;
      const inUs = world.between(1, electionUs + 16 * snapshotUs);
      if (victim === undefined || world.chance(400)) return;
      world.after(inUs, undefined, "crash", () => {
        if (this.#over) return;
        victim.end(world.chance(700) ? "crash" : "kill");
        this.#later(victim);
      });
    });
  }

  /**
   * A database is found to differ: of one node at a time, while the others have theirs. Its power
   * may go off in the middle, or that of the source.
   */
  #diverge(): void {
    const { nodes } = this.#cluster;
    // Nor may a change of the members be under way: it might leave nobody to heal by.
    const areWhole = nodes.filter(({ lost }) => !lost).every(({ running }) =>
      running !== undefined && !running.replica.diverged && !running.machine.installing &&
      isSettled(running.raft)
    );
    const node = this.#running();
    const life = node?.running;
    if (!areWhole || node === undefined || life?.machine.transfer === undefined) return;
    const { voters } = life.raft.status().configuration;
    if (!life.machine.exists || !voters.some((id) => id !== node.id)) return;
    const leads = life.replica.mode === "leading";
    if (!life.replica.heal(life.replica.appliedIndex)) return;
    this.#cluster.differs(node.id);
    this.#counters.hit(leads ? "leader found to differ" : "follower found to differ");
    this.#world.tell(node.id, () => "is found to differ");
    const victim = this.#world.chance(700) ? node : this.#cluster.leading;
    if (victim === undefined || this.#world.chance(500)) return;
    const inUs = this.#world.between(1, this.#electionUs + 16 * this.#settings.snapshotUs);
    this.#world.after(inUs, undefined, "crash", () => {
      if (this.#over) return;
      victim.end(this.#world.chance(700) ? "crash" : "kill");
      this.#later(victim);
    });
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
    node.disk.stall(us);
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
    if (this.#world.chance(300)) {
      node.disk.cutAt(this.#world.pick(["sync", "rename", "syncFolder"])!);
    } else {
      node.end("crash");
      node.disk.cutStart = true;
      this.#later(node);
    }
  }

  /** A node's disk rots, or is emptied, while it is down. */
  #damage(): void {
    const world = this.#world;
    const node = this.#running();
    if (node === undefined || !this.#mayDamage(node)) return;
    if (world.chance(200)) return node.disk.damage();
    node.end(world.chance(500) ? "crash" : "kill");
    if (world.chance(100)) node.disk.wipe();
    else node.disk.damage(world.chance(100));
    // More than one fault at a time, where one is within the promise.
    for (let more = this.#settings.beyond ? world.below(4) : 0; more > 0; more--) {
      node.disk.damage();
    }
    this.#later(node);
  }

  #mayDamage(node: SimulatedNode): boolean {
    return this.#atlas.permits(node.id, this.#cluster.configurations());
  }

  #refuseWrite(): void {
    const node = this.#running();
    if (this.#world.chance(800)) node?.disk.refuse(this.#world.pick(WRITE_OPERATIONS)!);
    else node?.disk.refuse("sync", this.#world.pick(CHECKPOINT_FILES));
  }

  /** A write of the log is lost, or lands elsewhere, and is said to be durable. */
  #strayWrite(): void {
    const node = this.#running();
    if (node === undefined || !this.#mayDamage(node)) return;
    node.disk.stray(this.#world.chance(500) ? "lost write" : "misdirected write");
    // While what came after it is all that can give it away.
    if (this.#world.chance(700)) return;
    this.#world.after(this.#world.delayUs(this.#electionUs), undefined, "crash", () => {
      if (this.#over || node.running === undefined) return;
      node.end("crash");
      this.#later(node);
    });
  }

  /** A read fails, or returns something else, while the node runs or starts. */
  #readFault(): void {
    const world = this.#world;
    const node = this.#running();
    if (node === undefined) return;
    const atStart = world.chance(600);
    if (atStart) node.end(world.chance(500) ? "crash" : "kill");
    const skip = atStart ? world.below(6) : 0;
    if (world.chance(500)) node.disk.medium.armRead(world.chance(500) ? "bit" : "sector", skip);
    else if (!atStart) node.disk.refuse("read", ".segment");
    else node.disk.failStart(world.pick(["open", "read"])!, world.pick(START_FILES)!, skip);
    if (atStart) this.#later(node);
  }

  /** There is no space on a disk, for a while. */
  #fullDisk(): void {
    const world = this.#world;
    const node = this.#running();
    if (node === undefined) return;
    this.#counters.hit("disk full");
    node.disk.fill(world.below(FULL_BYTES_MAX), world.chance(500));
    world.after(
      world.delayUs(8 * this.#electionUs),
      undefined,
      "space",
      () => node.disk.fill(Infinity),
    );
  }

  /** A node goes on for a moment only now and then. */
  #slowNode(): void {
    const world = this.#world;
    const node = this.#running();
    const owner = node?.life;
    if (node === undefined || owner === undefined) return;
    this.#counters.hit("node slowed down");
    world.tell(node.id, () => "is slow");
    const pauseUs = world.between(1, 4) * this.#settings.tickUs;
    const untilUs = world.nowUs + world.delayUs(8 * this.#electionUs);
    const pause = () => {
      if (this.#over || !owner.alive || world.nowUs > untilUs) return;
      owner.pausedUntilUs = Math.max(owner.pausedUntilUs, world.nowUs + pauseUs);
      world.after(pauseUs + Math.floor(this.#settings.tickUs / 4), undefined, "slow", pause);
    };
    pause();
  }
}

/** Whether no change of the members is under way, as far as a node knows. */
function isSettled(raft: Raft): boolean {
  const { configuration, configurationIndex, commitIndex } = raft.status();
  return configurationIndex <= commitIndex && !isJoint(configuration);
}
