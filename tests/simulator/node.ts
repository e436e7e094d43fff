/**
 * One node: real core, real loop, real log with its recovery, on a simulated disk, clock and
 * network. A node has many lives on one disk.
 */
import { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { isDiskFull } from "../../lib/io/disk_full.ts";
import { recoverLog } from "../../lib/log/recovery.ts";
import { SegmentLog } from "../../lib/log/segment_log.ts";
import type { Message, NodeId } from "../../lib/raft/types.ts";
import type { Atlas } from "./atlas.ts";
import { Durable, type Found, foundIn, termsAfter } from "./checkers/durable.ts";
import type { NodeView, Oracle } from "./checkers/oracle.ts";
import { require, Violation } from "./checkers/violation.ts";
import { causedBy, InjectedError, PowerCut } from "./faults.ts";
import { Life } from "./life.ts";
import type { Databases } from "./database.ts";
import type { Counters } from "./marks.ts";
import type { Endpoint, SimulatedNetwork } from "./network.ts";
import { NodeClock } from "./node_clock.ts";
import { NodeDisk } from "./node_disk.ts";
import { ObservedLog } from "./observed_log.ts";
import { firstEntries } from "./members.ts";
import type { Settings } from "./settings.ts";
import type { Owner, World } from "./world.ts";

/** What all nodes of a run share. */
export interface Surroundings {
  readonly world: World;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly oracle: Oracle;
  readonly network: SimulatedNetwork;
  readonly atlas: Atlas;
  readonly databases: Databases;
}

/** How a life ends. */
export type Ending =
  /** Power is lost, and with it what was not synced, in part or whole. */
  | "crash"
  /** The process ends; the system goes on and keeps what it has. */
  | "kill";

const CLUSTER_ID = "0123456789abcdef0123456789abcdef";
const FOLDER = "/node";
const LOG_FOLDER = `${FOLDER}/log`;
/** Files that a running node may hold open: 16 to read from, two that it writes, two slots. */
const OPEN_FILES_MAX = 20;
/** What may lie in the folder of a log. */
const LOG_NAME = /^(state\.[ab]|\d{16}\.segment)$/;
/** Time after which a start that failed is tried again. */
const START_AGAIN_US = 50_000;

/** See the file comment. */
export class SimulatedNode implements Endpoint, NodeView {
  readonly id: NodeId;
  readonly durable: Durable;
  readonly disk: NodeDisk;
  /** Its folder is damaged or gone: it never starts again. */
  lost = false;
  /** It is to stay down from now on. */
  barred = false;
  bootId = 0;
  readonly #in: Surroundings;
  /** Who founds the cluster with this node; empty for one that joins. */
  readonly #founders: readonly NodeId[];
  #owner: Owner | undefined;
  #life: Life | undefined;
  #truncates = false;
  #segmentsAtStart = 0;
  readonly #boots = new Map<NodeId, number>();

  constructor(id: NodeId, founders: readonly NodeId[], surroundings: Surroundings) {
    this.id = id;
    this.#founders = founders;
    this.#in = surroundings;
    this.durable = new Durable(id);
    const folders = { folder: FOLDER, logFolder: LOG_FOLDER };
    this.disk = new NodeDisk({ ...surroundings, ...folders, id });
    surroundings.network.join(this);
    surroundings.oracle.watch(this);
  }

  /** The owner of the present life's events. */
  get life(): Owner | undefined {
    return this.#owner;
  }

  /** The present life, once it got through its start. */
  get running(): Life | undefined {
    return this.#life;
  }

  receive(from: NodeId, fromBoot: number, message: Message): void {
    const life = this.#life;
    if (life === undefined) return;
    const known = this.#boots.get(from) ?? 0;
    // The connection of an earlier life is closed when a later one presents itself.
    if (fromBoot < known) return;
    if (fromBoot > known) {
      this.#boots.set(from, fromBoot);
      life.raft.onPeerRestarted(from);
    }
    life.replica.receive(from, message);
  }

  unreachable(peer: NodeId): void {
    this.#life?.raft.onUnreachable(peer);
    this.#life?.replica.schedule();
  }

  platter(): Found | undefined {
    // Before the log was completely made there is nothing that could have been promised.
    if (!this.disk.founded || this.lost || !this.disk.isSound) return undefined;
    this.#in.counters.count("platters read");
    const recovered = recoverLog(this.disk.files.platter(), LOG_FOLDER, this.#logOwner);
    if (recovered === undefined) {
      return { hardState: { term: 0, votedFor: undefined }, terms: [], recovering: false };
    }
    const { hardState, givenUp, newestSlot } = recovered;
    require(givenUp === undefined, () => `n${this.id}: damage that nobody did on the platter`);
    const terms = termsAfter(recovered.table.base);
    recovered.table.forEach((_index, term) => terms.push(term));
    return { hardState, terms, recovering: newestSlot.recovering };
  }

  /** What a run ends with: disks that hold what was promised, and no more than is needed. */
  checkAtEnd(): void {
    const found = this.platter();
    if (found !== undefined) this.durable.check(found, "at the end");
    this.#in.oracle.history.isPrefixOf(found?.terms ?? this.durable.terms, `n${this.id}`);
    const { openFiles } = this.disk.files;
    require(openFiles <= OPEN_FILES_MAX, () => `n${this.id} has ${openFiles} files open`);
    for (const name of this.disk.files.list(LOG_FOLDER)) {
      require(LOG_NAME.test(name), () => `n${this.id} leaves ${name} in the folder of its log`);
    }
  }

  /** Begins a life, unless one is there. */
  start(): void {
    if (this.#owner !== undefined || this.lost || this.barred) return;
    const { world, counters } = this.#in;
    const owner = this.#newOwner();
    this.#owner = owner;
    this.bootId++;
    this.#boots.clear();
    counters.count("starts");
    world.tell(this.id, () => "starts");
    this.disk.begin(owner);
    try {
      this.#open(owner);
      this.disk.files.clearFaults();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Ends the life, if there is one. */
  end(ending: Ending): void {
    const { world, counters } = this.#in;
    const owner = this.#owner;
    if (owner === undefined) return;
    const life = this.#life;
    owner.alive = false;
    this.#owner = undefined;
    this.#life = undefined;
    if (life !== undefined && this.disk.segments > this.#segmentsAtStart + 1) {
      counters.hit("segment rolled");
    }
    life?.sessions.lose();
    life?.machine.end();
    counters.count(ending === "crash" ? "crashes" : "kills");
    world.tell(this.id, () => ending === "crash" ? "loses power" : "ends");
    if (ending === "crash") {
      if (life?.machine.installing === true) counters.hit("snapshot cut off by a crash");
      if (life?.checkpointing === true) counters.hit("checkpoint cut off by a crash");
    }
    this.disk.end(ending);
  }

  /** Ends the life as its operator would: everybody who waits is told. */
  stop(): void {
    const life = this.#life;
    if (life === undefined) return this.end("kill");
    this.#in.world.tell(this.id, () => "is stopped");
    life.membership.stop();
    life.replica.stop();
    this.#life = undefined;
    life.sessions.lose();
    const { owner } = life;
    life.log.close(() => {
      const { openFiles } = this.disk.files;
      require(openFiles === 0, () => `n${this.id} stops with ${openFiles} files open`);
      this.#in.world.after(0, owner, "closed", () => this.end("kill"));
    });
  }

  get #logOwner(): { readonly clusterId: string; readonly nodeId: NodeId } {
    return { clusterId: CLUSTER_ID, nodeId: this.id };
  }

  #newOwner(): Owner {
    const owner: Owner = {
      nodeId: this.id,
      alive: true,
      pausedUntilUs: 0,
      threw: (error) => {
        if (!causedBy(error, PowerCut)) return false;
        if (owner.alive) this.#failed(error);
        return true;
      },
    };
    return owner;
  }

  #open(owner: Owner): void {
    const { world, settings, counters, oracle } = this.#in;
    if (!this.disk.founded) {
      this.disk.discardLog();
      this.durable.reset();
    }
    const drift = settings.driftPermille;
    const ratePermille = 1000 + world.between(-drift, drift);
    const clock = new NodeClock(world, owner, ratePermille, () => counters.hit("apply in slices"));
    const log = SegmentLog.open({
      disk: this.disk.files,
      folder: LOG_FOLDER,
      ...this.#logOwner,
      random: new SeededRandom(world.random.next()),
      clock,
      create: !this.disk.founded,
      segmentBytes: settings.segmentBytes,
      cacheBytesMax: settings.cacheBytesMax,
      onFatal: (error) => this.#failed(error),
    });
    this.#checkFound(log);
    const observed = new ObservedLog(log, this.durable, {
      entered: (entry, chain) => oracle.logs.enters(entry, chain),
      reset: ({ index, term, chain }) => oracle.logs.holds(index, term, chain),
      truncated: () => this.#truncates = true,
      recovered: () => {
        counters.hit("damage made good");
        this.disk.recovered();
        oracle.recovers(this);
      },
      readBack: () => counters.hit("entry read back from disk"),
    });
    const begin = () => {
      this.disk.founded = true;
      this.#begin(owner, clock, log, observed);
    };
    if (this.disk.founded || this.#founders.length === 0) begin();
    else {
      const hardState = { term: 1, votedFor: undefined };
      const entries = firstEntries(this.#founders, this.#in.databases.creation);
      observed.append({ hardState, truncateFrom: undefined, entries }, begin);
    }
  }

  #begin(owner: Owner, clock: NodeClock, log: SegmentLog, observed: ObservedLog): void {
    const { network, oracle } = this.#in;
    const life = new Life({
      ...this.#in,
      node: this,
      owner,
      clock,
      disk: this.disk.files,
      folder: FOLDER,
      clusterId: CLUSTER_ID,
      bootId: this.bootId,
      log,
      observed,
      peer: (id) => network.endpoint(id) as SimulatedNode | undefined,
      send: (to, message) => {
        oracle.sends(this, to, message);
        network.send(this, to, message);
      },
      onFatal: (error) => this.#failed(error),
    });
    this.#life = life;
    this.disk.started(!log.recovering);
    life.start();
  }

  /** What the log holds after a start, against what it has to hold. */
  #checkFound(log: SegmentLog): void {
    const { counters, oracle } = this.#in;
    const found = foundIn(log, (index, term, chain) => oracle.logs.holds(index, term, chain));
    const { terms } = found;
    const { givenUp } = log.recovery;
    // A start before may have cut it off, and been cut short then.
    const wasCut = givenUp !== undefined || log.recovering && !this.durable.fits(found);
    if (!wasCut) {
      this.durable.check(found, "after a start");
      this.durable.restart(found);
    } else {
      require(this.disk.tampered === "damaged", () => `n${this.id} gives up entries without need`);
      counters.hit("damage cut off");
      this.#in.world.tell(this.id, () => `cuts its log: ${JSON.stringify(givenUp)}`);
      this.durable.cut(found, "after a start");
    }
    counters.observe("entries at a start", terms.length);
    if (log.recovery.torn !== undefined) counters.hit("torn batch cut");
    if (this.#truncates) counters.hit("truncation recovered");
    const segments = this.disk.segments;
    this.#segmentsAtStart = segments;
    counters.observe("segments at a start", segments);
    // One is written, and one is made ahead.
    if (segments > 3) counters.hit("several segments recovered");
    if (this.disk.tampered === "wiped") {
      throw new Violation(`n${this.id} starts although its log was wiped`);
    }
  }

  /** The node cannot go on: because of what was done to it, or by its own fault. */
  #failed(error: unknown): void {
    const { world, counters } = this.#in;
    const again = () => world.after(START_AGAIN_US, undefined, "start again", () => this.start());
    if (causedBy(error, PowerCut)) {
      counters.hit("start cut short");
      this.end("crash");
      again();
    } else if (causedBy(error, InjectedError)) {
      const reads = causedBy(error, InjectedError, (one) => /^(open|read)$/.test(one.message));
      counters.hit(reads ? "read failed" : "write failed");
      this.end(world.chance(500) ? "crash" : "kill");
      again();
    } else if (isDiskFull(error)) {
      counters.hit("start without space put off");
      world.tell(this.id, () => `ends for lack of space: ${String(error)}`);
      this.end("kill");
      again();
    } else if (isCorrupt(error) && this.disk.takeMisread()) {
      counters.hit("read of something else noticed");
      world.tell(this.id, () => `cannot read its log: ${error.message}`);
      this.end("kill");
      again();
    } else if (this.disk.tampered !== undefined && error instanceof DatabaseError) {
      const expected = this.disk.tampered === "wiped" ? "DATA_FOLDER" : "CORRUPT";
      if (error.code !== expected) throw error;
      if (this.#life !== undefined) {
        counters.hit("rotten entry read back");
        world.tell(this.id, () => `stops: ${error.message}`);
        this.end("kill");
        again();
        return;
      }
      counters.hit(this.disk.tampered === "wiped" ? "wiped folder refused" : "damage refused");
      world.tell(this.id, () => `refuses to start: ${error.message}`);
      this.lost = true;
      this.end("kill");
    } else throw error;
  }
}

function isCorrupt(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && error.code === "CORRUPT";
}
