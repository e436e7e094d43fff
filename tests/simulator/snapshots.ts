/**
 * How a snapshot travels between nodes: a part at a time, each late, over a connection of its own
 * that breaks with either node, or when the network is cut. The source goes on meanwhile.
 */
import { isDiskFull } from "../../lib/io/disk_full.ts";
import type { LogIndex, NodeId, SnapshotBase } from "../../lib/raft/types.ts";
import type { SnapshotEdge, SnapshotReceiver } from "../../lib/replica/snapshot_install.ts";
import type { SnapshotSource } from "../../lib/replica/snapshot_source.ts";
import type { NodeView, Oracle } from "./checkers/oracle.ts";
import type { PageTransfer, SimulatedMachine } from "./database.ts";
import { causedBy, InjectedError } from "./faults.ts";
import type { Counters } from "./marks.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { Settings } from "./settings.ts";
import type { Owner, World } from "./world.ts";

/** A running node that others take snapshots from. */
export interface SnapshotGiver {
  readonly owner: Owner;
  readonly source: SnapshotSource;
  readonly machine: SimulatedMachine;
  checkpoint(): void;
  /** The node cannot go on. */
  fail(error: unknown): void;
}

/** Another node; nothing runs while it is down. */
export interface SnapshotPeer {
  readonly running: SnapshotGiver | undefined;
}

/** What the edge of one life works with. */
export interface SnapshotsOptions {
  readonly world: World;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly network: SimulatedNetwork;
  /** Who takes snapshots here. */
  readonly owner: Owner;
  readonly node: NodeView;
  readonly oracle: Oracle;
  readonly transfer: PageTransfer;
  readonly peer: (id: NodeId) => SnapshotPeer | undefined;
}

/** See the file comment. */
export class SimulatedSnapshots implements SnapshotEdge {
  readonly #options: SnapshotsOptions;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  fetch(from: NodeId, least: LogIndex, receiver: SnapshotReceiver): () => void {
    const { world, owner } = this.#options;
    world.tell(owner.nodeId, () => `asks n${from} for a snapshot of ${least} or later`);
    const transfer = new Transfer(this.#options, from, least, receiver);
    transfer.start();
    return () => transfer.cancel();
  }
}

class Transfer {
  readonly #options: SnapshotsOptions;
  readonly #from: NodeId;
  readonly #least: LogIndex;
  readonly #receiver: SnapshotReceiver;
  #giver: SnapshotGiver | undefined;
  #base: SnapshotBase | undefined;
  #consistentAtStart: LogIndex = 0;
  /** Something was lost on the way. */
  #broken = false;
  #over = false;

  constructor(
    options: SnapshotsOptions,
    from: NodeId,
    least: LogIndex,
    receiver: SnapshotReceiver,
  ) {
    this.#options = options;
    this.#from = from;
    this.#least = least;
    this.#receiver = receiver;
  }

  start(): void {
    this.#giver = this.#options.peer(this.#from)?.running;
    this.#watch();
    this.#there((giver) => this.#asked(giver));
  }

  cancel(): void {
    this.#over = true;
  }

  /** Notices that the connection is gone. */
  #watch(): void {
    const { world, owner, settings, network, counters } = this.#options;
    world.after(4 * settings.snapshotUs, owner, "snapshot watch", () => {
      if (this.#over) return;
      const giver = this.#giver;
      const open = !this.#broken && network.isOpen(owner.nodeId, this.#from);
      if (giver?.owner.alive === true && open) return this.#watch();
      counters.hit("snapshot cut off by its source");
      this.#fail();
    });
  }

  #fail(): void {
    this.#over = true;
    const { world, owner } = this.#options;
    world.tell(owner.nodeId, () => `gets no snapshot from n${this.#from}`);
    this.#receiver.failed();
  }

  #asked(giver: SnapshotGiver): void {
    const base = this.#begin(giver);
    if (base === undefined || base.index < this.#least) {
      // The next attempt finds a later one.
      giver.checkpoint();
      return this.#here(() => this.#fail());
    }
    this.#base = base;
    this.#consistentAtStart = giver.machine.consistentIndex;
    this.#here(() => {
      const { node, oracle } = this.#options;
      const holdsDatabase = node.running?.machine.installing === false;
      this.#receiver.begin(base, () => {
        if (holdsDatabase) oracle.mayReplace(node, base.index);
        this.#next(0);
      });
    });
  }

  /** Looks into the log, which may be damaged. */
  #begin(giver: SnapshotGiver): SnapshotBase | undefined {
    try {
      return giver.source.begin(this.#options.owner.nodeId);
    } catch (error) {
      giver.fail(error);
      return undefined;
    }
  }

  #next(chunk: number): void {
    const { transfer, world, owner, counters } = this.#options;
    if (chunk < transfer.chunks) {
      return this.#there(({ source, machine }) => {
        const goesOn = source.progress(owner.nodeId, this.#base!);
        const bytes = goesOn ? this.#attempt(() => machine.transfer!.read(chunk)) : undefined;
        this.#here(() => {
          if (bytes === undefined) return this.#fail();
          const written = this.#attempt(() => (transfer.write(chunk, bytes), true));
          if (written === true) this.#next(chunk + 1);
          else this.#fail();
        });
      });
    }
    this.#there(({ source, machine }) => {
      const fuzzyIndex = source.end(owner.nodeId, this.#base!);
      if (fuzzyIndex === undefined) return this.#here(() => this.#fail());
      if (machine.consistentIndex > this.#consistentAtStart) {
        counters.hit("snapshot of a file that a checkpoint changed");
      }
      this.#here(() => {
        this.#over = true;
        world.tell(owner.nodeId, () => `has a snapshot of ${this.#base!.index} to ${fuzzyIndex}`);
        counters.hit("snapshot installed");
        this.#receiver.done(fuzzyIndex);
      });
    });
  }

  /** Undefined when a disk refused. */
  #attempt<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      if (!causedBy(error, InjectedError) && !isDiskFull(error)) throw error;
      return undefined;
    }
  }

  /** Something reaches the source. */
  #there(run: (giver: SnapshotGiver) => void): void {
    const giver = this.#giver;
    if (giver !== undefined) this.#hop(giver.owner, () => run(giver));
  }

  /** Something comes back. */
  #here(run: () => void): void {
    this.#hop(this.#options.owner, run);
  }

  #hop(owner: Owner, run: () => void): void {
    const { world, settings, network } = this.#options;
    world.after(world.delayUs(settings.snapshotUs), undefined, "snapshot", () => {
      if (this.#over) return;
      if (!network.isOpen(this.#options.owner.nodeId, this.#from)) {
        this.#broken = true;
        return;
      }
      world.after(0, owner, "snapshot part", () => {
        if (!this.#over) run();
      });
    });
  }
}
