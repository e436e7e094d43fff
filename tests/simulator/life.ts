/** One life of a node: the real core, loop and membership over a log that was opened. */
import { SeededRandom } from "../../lib/base/random.ts";
import { Membership } from "../../lib/cluster/membership.ts";
import type { Disk } from "../../lib/io/disk.ts";
import type { SegmentLog } from "../../lib/log/segment_log.ts";
import { isDiskFull } from "../../lib/io/disk_full.ts";
import { silentLog } from "../../lib/observe/log.ts";
import { restoredState } from "../../lib/node_raft.ts";
import type { LogIndex, Message, NodeId } from "../../lib/raft/types.ts";
import { compactLog, type Trailing } from "../../lib/replica/compaction.ts";
import { LogPins } from "../../lib/replica/log_pins.ts";
import { Replica } from "../../lib/replica/replica.ts";
import { knownCommitIndex } from "../../lib/replica/snapshot_install.ts";
import { SnapshotSource, type SnapshotSourceOptions } from "../../lib/replica/snapshot_source.ts";
import type { NodeView, Oracle, RunningView } from "./checkers/oracle.ts";
import type { Databases, MachineEvents, SimulatedMachine } from "./database.ts";
import { causedBy, InjectedError } from "./faults.ts";
import type { Counters } from "./marks.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { NodeClock } from "./node_clock.ts";
import type { ObservedLog } from "./observed_log.ts";
import { ObservedRaft } from "./observed_raft.ts";
import { SimulatedSessions } from "./sessions.ts";
import { SimulatedSnapshots, type SnapshotPeer } from "./snapshots.ts";
import type { Settings } from "./settings.ts";
import type { Owner, World } from "./world.ts";

/** What a life is made of. */
export interface LifeOptions {
  readonly node: NodeView;
  readonly owner: Owner;
  readonly world: World;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly oracle: Oracle;
  readonly databases: Databases;
  readonly network: SimulatedNetwork;
  /** Another node, as a snapshot's source. */
  readonly peer: (id: NodeId) => SnapshotPeer | undefined;
  readonly clock: NodeClock;
  readonly disk: Disk;
  readonly folder: string;
  readonly clusterId: string;
  /** Names this life among all of the node. */
  readonly bootId: number;
  readonly log: SegmentLog;
  readonly observed: ObservedLog;
  readonly send: (to: NodeId, message: Message) => void;
  readonly onFatal: (error: Error) => void;
}

/** Checkpoints that begin while others go on, in thousandths. */
const ALONGSIDE_PERMILLE = 500;

/** See the file comment. */
export class Life implements RunningView {
  readonly owner: Owner;
  readonly clock: NodeClock;
  readonly log: SegmentLog;
  readonly machine: SimulatedMachine;
  readonly raft: ObservedRaft;
  readonly replica: Replica;
  readonly sessions: SimulatedSessions;
  readonly membership: Membership;
  readonly uncommittedMax: number;
  /** A copy of the pages into the file is under way. */
  checkpointing = false;
  /** Where other nodes take snapshots from. */
  readonly source: SnapshotSource;
  readonly #kept: SnapshotSourceOptions;
  readonly #trailing: Trailing;
  readonly #onFatal: (error: Error) => void;
  readonly #world: World;
  readonly #counters: Counters;

  constructor(options: LifeOptions) {
    const { owner, world, settings, counters, clock, log } = options;
    this.owner = owner;
    this.clock = clock;
    this.log = log;
    this.uncommittedMax = settings.limits.uncommittedEntriesMax;
    this.#world = world;
    this.#counters = counters;
    this.machine = options.databases.newMachine({
      ...options,
      nodeId: options.node.id,
      events: machineEvents(options),
    });
    this.raft = newRaft(options, knownCommitIndex(log, this.machine));
    this.sessions = this.#newSessions(options);
    this.replica = this.#newReplica(options);
    const { raft, machine, replica } = this;
    this.#kept = { raft, log: options.observed, machine, replica, pins: new LogPins(), clock };
    this.source = new SnapshotSource(this.#kept);
    this.#trailing = settings.trailing;
    this.#onFatal = options.onFatal;
    this.membership = new Membership({
      raft: this.raft,
      replica: this.replica,
      clock,
      clusterId: options.clusterId,
      log: silentLog,
    });
  }

  start(): void {
    const { raft, replica, membership, machine } = this;
    if (machine.diverged !== undefined) this.#counters.hit("healing taken up again");
    else if (machine.installing) this.#counters.hit("snapshot taken up again");
    else if (replica.mode === "installing") this.#counters.hit("snapshot in place before its log");
    // Nobody else could lead: there is nothing to wait for.
    if (raft.status().configuration.voters.length === 1) raft.campaign();
    replica.start();
    membership.start();
  }

  /** Copies the pages into the database file, as maintenance does: at first while others go on. */
  checkpoint(): void {
    if (this.checkpointing || !this.#isSettled) return;
    this.checkpointing = true;
    if (!this.#world.chance(ALONGSIDE_PERMILLE)) return this.#checkpointStill();
    this.#counters.hit("checkpoint begun while others go on");
    this.#copy(this.replica.settledIndex, { isLast: false }, () => this.#checkpointStill());
  }

  get #isSettled(): boolean {
    const { replica, machine } = this;
    const isFollowing = replica.mode === "following" && replica.readable && machine.exists;
    return isFollowing || replica.mode === "leading";
  }

  /** The rest, while nothing changes. */
  #checkpointStill(): void {
    const { replica, sessions } = this;
    const end = (resume: () => void) => {
      this.checkpointing = false;
      resume();
    };
    if (!this.#isSettled) return end(() => {});
    if (replica.mode === "following") {
      this.#counters.hit("checkpoint on a follower");
      const resume = replica.pauseApply();
      return this.#copy(replica.settledIndex, { isLast: true }, () => end(resume));
    }
    sessions.whileNobodyWrites((release) => {
      this.#counters.hit("checkpoint on the leader");
      this.#copy(replica.settledIndex, { isLast: true }, () => end(release));
    }, () => end(() => {}));
  }

  /** The node cannot go on. */
  fail(error: unknown): void {
    this.#onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  /** Gives up what of the log the last checkpoint holds, as maintenance does. */
  compact(): void {
    if (this.machine.transfer === undefined || this.replica.mode === "stopped") return;
    try {
      if (!compactLog({ ...this.#kept, trailing: this.#trailing })) return;
    } catch (error) {
      return this.fail(error);
    }
    this.#counters.hit("log compacted");
    this.#world.tell(this.owner.nodeId, () => `compacts its log up to ${this.log.baseIndex}`);
  }

  #copy(index: LogIndex, { isLast }: { isLast: boolean }, then: () => void): void {
    const { machine, sessions, owner } = this;
    // The power may have gone while everything before it was written.
    if (!owner.alive) return;
    const world = this.#world;
    world.tell(owner.nodeId, () => `begins a checkpoint of ${index}`);
    const end = () => {
      sessions.busy = false;
      then();
    };
    const attempt = (act: () => void, next: () => void) => {
      try {
        act();
      } catch (error) {
        if (!causedBy(error, InjectedError) && !isDiskFull(error)) throw error;
        // The pages go on without it, and a later one is made from the start.
        world.tell(owner.nodeId, () => `gives the checkpoint of ${index} up: ${String(error)}`);
        this.#counters.hit("checkpoint failed");
        // What was copied may be lost, and no later sync would tell: a start copies it again.
        if (!isDiskFull(error) && String(error).includes("/main.db")) return this.fail(error);
        return end();
      }
      next();
    };
    const later = (act: () => void, next: () => void) => {
      world.after(world.delayUs(2000), owner, "copy", () => attempt(act, next));
    };
    attempt(() => machine.beginCheckpoint(index), () => {
      sessions.busy = true;
      const copy = machine.beginCopy();
      const complete = () => {
        world.tell(owner.nodeId, () => `ends the ${isLast ? "" : "first part of the "}checkpoint`);
        if (isLast && copy.complete) machine.completeCheckpoint(index);
      };
      later(copy.first, () => later(copy.second, () => later(complete, end)));
    });
  }

  #newSessions(options: LifeOptions): SimulatedSessions {
    const { world, owner, oracle, counters, clock, node } = options;
    return new SimulatedSessions({
      world,
      life: owner,
      replica: () => this.replica,
      machine: this.machine,
      requests: oracle.requests,
      counters,
      observe: () => oracle.commits(node),
      nowMs: () => clock.nowMs(),
    });
  }

  #newReplica(options: LifeOptions): Replica {
    const { world, owner, counters, clock, settings, observed, send } = options;
    const { transfer } = this.machine;
    const snapshots = transfer && new SimulatedSnapshots({ ...options, transfer });
    const { raft, machine, sessions } = this;
    return new Replica({
      raft,
      log: observed,
      machine,
      clock,
      tickMs: settings.tickUs / 1000,
      sender: { send, flush: () => {} },
      snapshots,
      events: {
        onLeading: () => {
          counters.hit("leading");
          world.tell(owner.nodeId, () => `leads in term ${raft.term}`);
        },
        onRetiring: (quiet) => {
          world.tell(owner.nodeId, () => "retires");
          sessions.retire(quiet);
        },
        onWritable: () => counters.hit("proposal stalled"),
        onChange: () => {},
        onHealed: () => counters.hit("database healed"),
        onFatal: options.onFatal,
      },
    });
  }
}

function newRaft(options: LifeOptions, commitIndex: LogIndex): ObservedRaft {
  const { node, world, settings, counters, log } = options;
  return new ObservedRaft(
    {
      id: node.id,
      random: new SeededRandom(world.random.next()),
      electionTicks: settings.electionTicks,
      heartbeatTicks: settings.heartbeatTicks,
      limits: settings.limits,
    },
    restoredState(log, options.bootId, commitIndex),
    counters,
  );
}

function machineEvents({ node, settings, counters, oracle, clock }: LifeOptions): MachineEvents {
  return {
    applying: (index) => {
      oracle.applies(node, index);
      clock.jump(settings.applyUs);
    },
    released: (content) => {
      oracle.commits(node);
      oracle.history.mayBeCopied(content, node.durable.lastIndex, `n${node.id}`);
    },
    copied: (index, content) => oracle.history.shows(index, content, `n${node.id}`),
    rewound: (ids) => {
      if (ids.length > 0) counters.hit("transaction rewound");
    },
    rewindDelayed: () => counters.hit("rewind tried again"),
    merged: (transactions) => {
      counters.observe("transactions in a batch", transactions);
      if (transactions > 1) counters.hit("transactions merged");
    },
    batchInParts: (parts) => {
      counters.observe("parts of a batch", parts);
      counters.hit("batch in parts applied");
    },
    createdAgain: () => counters.hit("database created again"),
  };
}
