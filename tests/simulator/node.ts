/**
 * One node: real core, real loop, real log with its recovery, on a simulated disk, clock and
 * network. A node has many lives on one disk.
 */
import { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { isDiskFull } from "../../lib/io/disk_full.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { recoverLog } from "../../lib/log/recovery.ts";
import { SegmentLog } from "../../lib/log/segment_log.ts";
import type { Message, NodeId } from "../../lib/raft/types.ts";
import { checkpointPath } from "../../lib/replica/checkpoint_record.ts";
import type { Atlas } from "./atlas.ts";
import { Durable, type Found, foundIn, termsAfter } from "./checkers/durable.ts";
import type { NodeView, Oracle } from "./checkers/oracle.ts";
import { require, Violation } from "./checkers/violation.ts";
import { causedBy, InjectedError, PowerCut, START_OPERATIONS } from "./faults.ts";
import { FaultyMedium, type WriteFault } from "./faulty_medium.ts";
import { Life } from "./life.ts";
import type { Databases } from "./database.ts";
import type { Counters } from "./marks.ts";
import type { Endpoint, SimulatedNetwork } from "./network.ts";
import { NodeClock } from "./node_clock.ts";
import { ObservedLog } from "./observed_log.ts";
import { firstEntries } from "./members.ts";
import { rotOne } from "./rot.ts";
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
/** Time after which a start that failed is tried again. */
const START_AGAIN_US = 50_000;

/** See the file comment. */
export class SimulatedNode implements Endpoint, NodeView {
  readonly id: NodeId;
  readonly durable: Durable;
  readonly medium: FaultyMedium;
  /** Its folder is damaged or gone: it never starts again. */
  lost = false;
  /** It is to stay down from now on. */
  barred = false;
  /** The next start is cut short. */
  cutStart = false;
  /** Whether the present log is one that the cluster may rely on. */
  founded = false;
  bootId = 0;
  readonly #in: Surroundings;
  /** Who founds the cluster with this node; empty for one that joins. */
  readonly #founders: readonly NodeId[];
  #disk = new MemoryDisk();
  /** The disk cannot be read, in part, until the next start is over. */
  #unreadable = false;
  #owner: Owner | undefined;
  #life: Life | undefined;
  #stalledUntilUs = 0;
  /** What was done to the folder. */
  #tampered: "damaged" | "wiped" | undefined;
  #truncates = false;
  #segmentsAtStart = 0;
  readonly #boots = new Map<NodeId, number>();

  constructor(id: NodeId, founders: readonly NodeId[], surroundings: Surroundings) {
    this.id = id;
    this.#founders = founders;
    this.#in = surroundings;
    this.durable = new Durable(id);
    this.medium = new FaultyMedium({
      world: surroundings.world,
      disk: () => this.#disk,
      folder: LOG_FOLDER,
      strayed: (fault, path, offset) => this.#strayed(fault, path, offset),
    });
    this.#disk.medium = this.medium;
    this.#disk.createFolder(LOG_FOLDER);
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
    const damaged = this.lost || this.#tampered !== undefined || this.medium.lies;
    if (!this.founded || damaged) return undefined;
    this.#in.counters.count("platters read");
    const recovered = recoverLog(this.#disk.platter(), LOG_FOLDER, this.#logOwner);
    if (recovered === undefined) {
      return { hardState: { term: 0, votedFor: undefined }, terms: [], recovering: false };
    }
    const { hardState, givenUp, newestSlot } = recovered;
    require(givenUp === undefined, () => `n${this.id}: damage that nobody did on the platter`);
    const terms = termsAfter(recovered.table.base);
    recovered.table.forEach((_index, term) => terms.push(term));
    return { hardState, terms, recovering: newestSlot.recovering };
  }

  /** Begins a life, unless one is there. */
  start(): void {
    if (this.#owner !== undefined || this.lost || this.barred) return;
    const { world, counters, settings } = this.#in;
    const owner = this.#newOwner();
    this.#owner = owner;
    this.bootId++;
    this.#boots.clear();
    counters.count("starts");
    world.tell(this.id, () => "starts");
    this.#disk.schedule = (run) => {
      const stallUs = Math.max(0, this.#stalledUntilUs - world.nowUs);
      world.after(stallUs + world.delayUs(settings.diskUs), owner, "disk", run);
    };
    if (this.cutStart) {
      this.cutStart = false;
      const operation = world.pick(START_OPERATIONS) ?? "sync";
      this.#disk.failNext(operation, new PowerCut(operation), undefined, world.below(12));
    }
    try {
      this.#open(owner);
      this.#disk.clearFaults();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Ends the life, if there is one. */
  end(ending: Ending): void {
    const { world, counters, settings } = this.#in;
    const owner = this.#owner;
    if (owner === undefined) return;
    const life = this.#life;
    owner.alive = false;
    this.#owner = undefined;
    this.#life = undefined;
    this.#stalledUntilUs = 0;
    if (life !== undefined && this.#segments > this.#segmentsAtStart + 1) {
      counters.hit("segment rolled");
    }
    life?.sessions.lose();
    life?.machine.end();
    counters.count(ending === "crash" ? "crashes" : "kills");
    world.tell(this.id, () => ending === "crash" ? "loses power" : "ends");
    const { free, capacityBytes } = this.#disk;
    if (ending === "kill") this.#disk = this.#disk.endProcess();
    else {
      if (life?.machine.installing === true) counters.hit("snapshot cut off by a crash");
      if (life?.checkpointing === true) counters.hit("checkpoint cut off by a crash");
      this.#losePower(settings);
    }
    this.#disk.medium = this.medium;
    this.#disk.free = free;
    this.#disk.capacityBytes = capacityBytes;
  }

  #losePower({ survive, namesInOrder }: Settings): void {
    const { world, counters } = this.#in;
    const permille = survive === "all" ? 1000 : survive === "none" ? 0 : world.below(1001);
    const disk = this.#disk;
    let namesLost = false;
    const after = disk.crash((path, sector) => {
      const survives = this.medium.survives(path, sector) ??
        (permille === 1000 || world.chance(permille));
      if (sector === -1 && survives && namesLost) counters.count("name changes lost out of order");
      if (sector === -1 && !survives) namesLost = !namesInOrder;
      return survives;
    }, namesInOrder);
    if (this.medium.powerLost()) {
      counters.hit("lost write found by a start");
      this.#tampered ??= "damaged";
    }
    this.#disk = after;
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
      this.#in.world.after(0, owner, "closed", () => this.end("kill"));
    });
  }

  /** Every write ends this much later from now on, until then. */
  stall(us: number): void {
    this.#stalledUntilUs = this.#in.world.nowUs + us;
  }

  /** The disk has so many bytes left, and says so or not. */
  fill(bytesLeft: number, says = false): void {
    this.#in.world.tell(this.id, () => `has ${bytesLeft} bytes left on its disk`);
    this.#disk.capacityBytes = this.#disk.usedBytes + bytesLeft;
    this.#disk.free = says ? 0 : Infinity;
  }

  /** Nothing goes wrong with the disk any more, but for what went wrong already. */
  healDisk(): void {
    this.stall(0);
    this.fill(Infinity);
    this.medium.disarm();
    this.#disk.clearFaults();
    this.cutStart = false;
  }

  /** A write that comes is not done, or in another place, and is said to be durable. */
  stray(fault: WriteFault): void {
    if (!this.founded || this.medium.lies || this.#tampered !== undefined) return;
    this.#in.atlas.note(this.id, { kind: "lying", path: undefined, offset: 0 });
    this.medium.armWrite(fault);
  }

  #strayed(kind: WriteFault, path: string, offset: number): void {
    const { atlas, counters } = this.#in;
    atlas.note(this.id, { kind, path, offset });
    counters.hit(kind === "lost write" ? "write lost" : "write misdirected");
    // What it landed on is damaged at once.
    if (kind === "misdirected write") this.#tampered = "damaged";
  }

  /**
   * A failing medium changes a bit of the log, or of the record of the checkpoint.
   *
   * @param twice It also changes one of a slot.
   */
  damage(twice = false): void {
    const { world, settings } = this.#in;
    const again = this.#tampered === "damaged" && settings.beyond;
    const possible = this.#tampered === undefined || again;
    if (!this.founded || !possible || this.medium.lies) return;
    const isSlot = (path: string) => path.includes("/state.");
    if (twice) this.#rot(isSlot);
    if (twice) this.#rot((path) => path.endsWith(".segment"));
    else this.#rot(world.chance(300) ? isSlot : () => true);
  }

  #rot(chosen: (path: string) => boolean): void {
    const { world, counters, atlas } = this.#in;
    const paths = this.#disk.list(LOG_FOLDER).map((name) => `${LOG_FOLDER}/${name}`);
    if (this.#disk.exists(checkpointPath(FOLDER))) paths.push(checkpointPath(FOLDER));
    const place = rotOne(world, this.#disk, paths.filter(chosen));
    if (place === undefined) return;
    world.tell(this.id, () => `byte ${place.offset} of ${place.path} rots`);
    this.#tampered = "damaged";
    atlas.note(this.id, { kind: "rotten", ...place });
    counters.count("bits damaged");
  }

  /** Somebody empties the folder of the log. */
  wipe(): void {
    if (this.#owner !== undefined || !this.founded || this.#tampered !== undefined) return;
    this.#in.world.tell(this.id, () => "the log is wiped");
    for (const name of this.#disk.list(LOG_FOLDER)) this.#disk.remove(`${LOG_FOLDER}/${name}`);
    this.#tampered = "wiped";
    this.#in.atlas.note(this.id, { kind: "wiped", path: LOG_FOLDER, offset: 0 });
    this.#in.counters.count("folders wiped");
  }

  /** The disk refuses an operation, the next time. */
  refuse(operation: string, path?: string): void {
    this.#disk.failNext(operation, new InjectedError(operation), path);
  }

  /** The next start cannot read something. */
  failStart(operation: string, path: string, skip: number): void {
    if (!this.founded) return;
    this.#unreadable = true;
    this.#disk.failNext(operation, new InjectedError(operation), path, skip);
  }

  /** The power goes off in the middle of an operation, the next time. */
  cutAt(operation: string): void {
    this.#disk.failNext(operation, new PowerCut(operation));
  }

  get #segments(): number {
    return this.#disk.list(LOG_FOLDER).filter((name) => name.endsWith(".segment")).length;
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
    const { world, settings, counters, oracle, atlas } = this.#in;
    if (!this.founded) this.#discardLog();
    const drift = settings.driftPermille;
    const ratePermille = 1000 + world.between(-drift, drift);
    const clock = new NodeClock(world, owner, ratePermille, () => counters.hit("apply in slices"));
    const log = SegmentLog.open({
      disk: this.#disk,
      folder: LOG_FOLDER,
      ...this.#logOwner,
      random: new SeededRandom(world.random.next()),
      clock,
      create: !this.founded,
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
        if (this.#tampered === undefined && !this.medium.lies) atlas.clear(this.id);
      },
      readBack: () => counters.hit("entry read back from disk"),
    });
    const begin = () => {
      this.founded = true;
      this.#begin(owner, clock, log, observed);
    };
    if (this.founded || this.#founders.length === 0) begin();
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
      disk: this.#disk,
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
    if (this.#tampered === "damaged") this.#in.counters.hit("damage mended");
    this.#tampered = undefined;
    this.#unreadable = false;
    this.medium.takeMisread();
    if (!this.medium.lies && !log.recovering) this.#in.atlas.clear(this.id);
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
      require(this.#tampered === "damaged", () => `n${this.id} gives up entries without need`);
      counters.hit("damage cut off");
      this.#in.world.tell(this.id, () => `cuts its log: ${JSON.stringify(givenUp)}`);
      this.durable.cut(found, "after a start");
    }
    counters.observe("entries at a start", terms.length);
    if (log.recovery.torn !== undefined) counters.hit("torn batch cut");
    if (this.#truncates) counters.hit("truncation recovered");
    const segments = this.#segments;
    this.#segmentsAtStart = segments;
    counters.observe("segments at a start", segments);
    // One is written, and one is made ahead.
    if (segments > 3) counters.hit("several segments recovered");
    if (this.#tampered === "wiped") {
      throw new Violation(`n${this.id} starts although its log was wiped`);
    }
  }

  /** Removes a log that the cluster never knew of. */
  #discardLog(): void {
    for (const name of this.#disk.list(LOG_FOLDER)) this.#disk.remove(`${LOG_FOLDER}/${name}`);
    this.#disk.syncFolder(LOG_FOLDER);
    this.durable.reset();
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
    } else if (isCorrupt(error) && (this.medium.takeMisread() || this.#unreadable)) {
      counters.hit("read of something else noticed");
      world.tell(this.id, () => `cannot read its log: ${error.message}`);
      this.#unreadable = false;
      this.end("kill");
      again();
    } else if (this.#tampered !== undefined && error instanceof DatabaseError) {
      const expected = this.#tampered === "wiped" ? "DATA_FOLDER" : "CORRUPT";
      if (error.code !== expected) throw error;
      if (this.#life !== undefined) {
        counters.hit("rotten entry read back");
        world.tell(this.id, () => `stops: ${error.message}`);
        this.end("kill");
        again();
        return;
      }
      counters.hit(this.#tampered === "wiped" ? "wiped folder refused" : "damage refused");
      world.tell(this.id, () => `refuses to start: ${error.message}`);
      this.lost = true;
      this.end("kill");
    } else throw error;
  }
}

function isCorrupt(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && error.code === "CORRUPT";
}
