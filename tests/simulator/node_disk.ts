/** The disk of one node, over all its lives, and everything that may befall it. */
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import type { NodeId } from "../../lib/raft/types.ts";
import { checkpointPath } from "../../lib/replica/checkpoint_record.ts";
import type { Atlas } from "./atlas.ts";
import { InjectedError, PowerCut, START_OPERATIONS } from "./faults.ts";
import { FaultyMedium, type WriteFault } from "./faulty_medium.ts";
import type { Counters } from "./marks.ts";
import { rotOne } from "./rot.ts";
import type { Settings } from "./settings.ts";
import type { Owner, World } from "./world.ts";

/** What a disk of the simulator needs to know. */
export interface NodeDiskOptions {
  readonly id: NodeId;
  readonly world: World;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly atlas: Atlas;
  readonly folder: string;
  readonly logFolder: string;
}

/** See the file comment. */
export class NodeDisk {
  readonly medium: FaultyMedium;
  /** Whether it holds a log that the cluster may rely on. */
  founded = false;
  /** What was done to the folder, as far as no start dealt with it. */
  tampered: "damaged" | "wiped" | undefined;
  /** The next start is cut short. */
  cutStart = false;
  readonly #in: NodeDiskOptions;
  #disk = new MemoryDisk();
  #used = false;
  #stalledUntilUs = 0;
  /** It cannot be read, in part, until the next start is over. */
  #unreadable = false;

  constructor(options: NodeDiskOptions) {
    this.#in = options;
    this.medium = new FaultyMedium({
      world: options.world,
      disk: () => this.#disk,
      folder: options.logFolder,
      strayed: (fault, path, offset) => this.#strayed(fault, path, offset),
    });
    this.#disk.medium = this.medium;
    this.#disk.createFolder(options.logFolder);
  }

  /** The disk as the present life sees it. */
  get files(): MemoryDisk {
    return this.#disk;
  }

  /** Segments in the folder of the log. */
  get segments(): number {
    const names = this.#disk.list(this.#in.logFolder);
    return names.filter((name) => name.endsWith(".segment")).length;
  }

  /** Whether what it acknowledged is there, as far as anybody knows. */
  get isSound(): boolean {
    return this.tampered === undefined && !this.medium.lies;
  }

  /** A life begins; `owner` waits for what is written. */
  begin(owner: Owner): void {
    const { world, settings } = this.#in;
    this.#used = true;
    this.#disk.schedule = (run) => {
      const stallUs = Math.max(0, this.#stalledUntilUs - world.nowUs);
      world.after(stallUs + world.delayUs(settings.diskUs), owner, "disk", run);
    };
    if (!this.cutStart) return;
    this.cutStart = false;
    const operation = world.pick(START_OPERATIONS) ?? "sync";
    this.#disk.failNext(operation, new PowerCut(operation), undefined, world.below(12));
  }

  /** The start of a life is over: what was wrong is mended, or known to the log. */
  started(isWhole: boolean): void {
    const { counters, atlas, id } = this.#in;
    if (this.tampered === "damaged") counters.hit("damage mended");
    this.tampered = undefined;
    this.#unreadable = false;
    this.medium.takeMisread();
    if (isWhole && !this.medium.lies) atlas.clear(id);
  }

  /** What was given up at a start is there again. */
  recovered(): void {
    if (this.isSound) this.#in.atlas.clear(this.#in.id);
  }

  /** Whether a read failed, or was not what is there, since this was last asked. */
  takeMisread(): boolean {
    const misread = this.medium.takeMisread() || this.#unreadable;
    this.#unreadable = false;
    return misread;
  }

  /** The life ends, with the power or with the process alone. */
  end(ending: "crash" | "kill"): void {
    this.#used = false;
    this.#stalledUntilUs = 0;
    const { free, capacityBytes } = this.#disk;
    if (ending === "kill") this.#disk = this.#disk.endProcess();
    else this.#losePower();
    this.#disk.medium = this.medium;
    this.#disk.free = free;
    this.#disk.capacityBytes = capacityBytes;
  }

  #losePower(): void {
    const { world, counters, settings } = this.#in;
    const { survive, namesInOrder } = settings;
    const permille = survive === "all" ? 1000 : survive === "none" ? 0 : world.below(1001);
    let namesLost = false;
    const after = this.#disk.crash((path, sector) => {
      const survives = this.medium.survives(path, sector) ??
        (permille === 1000 || world.chance(permille));
      if (sector === -1 && survives && namesLost) counters.count("name changes lost out of order");
      if (sector === -1 && !survives) namesLost = !namesInOrder;
      return survives;
    }, namesInOrder);
    if (this.medium.powerLost()) {
      counters.hit("lost write found by a start");
      this.tampered ??= "damaged";
    }
    this.#disk = after;
  }

  /** Every write ends this much later from now on, until then. */
  stall(us: number): void {
    this.#stalledUntilUs = this.#in.world.nowUs + us;
  }

  /** It has so many bytes left, and says so or not. */
  fill(bytesLeft: number, says = false): void {
    this.#in.world.tell(this.#in.id, () => `has ${bytesLeft} bytes left on its disk`);
    this.#disk.capacityBytes = this.#disk.usedBytes + bytesLeft;
    this.#disk.free = says ? 0 : Infinity;
  }

  /** Nothing goes wrong any more, but for what went wrong already. */
  heal(): void {
    this.stall(0);
    this.fill(Infinity);
    this.medium.disarm();
    this.#disk.clearFaults();
    this.cutStart = false;
    // A write that was to go astray never came.
    const { atlas, id } = this.#in;
    if (this.isSound && atlas.of(id).every(({ kind }) => kind === "lying")) atlas.clear(id);
  }

  /** A write that comes is not done, or in another place, and is said to be durable. */
  stray(fault: WriteFault): void {
    if (!this.founded || !this.isSound) return;
    this.#in.atlas.note(this.#in.id, { kind: "lying", path: undefined, offset: 0 });
    this.medium.armWrite(fault);
  }

  #strayed(kind: WriteFault, path: string, offset: number): void {
    const { atlas, counters, id } = this.#in;
    atlas.note(id, { kind, path, offset });
    counters.hit(kind === "lost write" ? "write lost" : "write misdirected");
    // What it landed on is damaged at once.
    if (kind === "misdirected write") this.tampered = "damaged";
  }

  /**
   * A failing medium changes a bit of the log, or of the record of the checkpoint.
   *
   * @param twice It also changes one of a slot.
   */
  damage(twice = false): void {
    const { world, settings } = this.#in;
    const again = this.tampered === "damaged" && settings.beyond;
    const possible = this.tampered === undefined || again;
    if (!this.founded || !possible || this.medium.lies) return;
    const isSlot = (path: string) => path.includes("/state.");
    if (twice) this.#rot(isSlot);
    if (twice) this.#rot((path) => path.endsWith(".segment"));
    else this.#rot(world.chance(300) ? isSlot : () => true);
  }

  #rot(chosen: (path: string) => boolean): void {
    const { id, world, counters, atlas, folder, logFolder } = this.#in;
    const paths = this.#disk.list(logFolder).map((name) => `${logFolder}/${name}`);
    if (this.#disk.exists(checkpointPath(folder))) paths.push(checkpointPath(folder));
    const place = rotOne(world, this.#disk, paths.filter(chosen));
    if (place === undefined) return;
    world.tell(id, () => `byte ${place.offset} of ${place.path} rots`);
    this.tampered = "damaged";
    atlas.note(id, { kind: "rotten", ...place });
    counters.count("bits damaged");
  }

  /** Somebody empties the folder of the log. */
  wipe(): void {
    if (this.#used || !this.founded || this.tampered !== undefined) return;
    const { id, world, counters, atlas, logFolder } = this.#in;
    world.tell(id, () => "the log is wiped");
    for (const name of this.#disk.list(logFolder)) this.#disk.remove(`${logFolder}/${name}`);
    this.tampered = "wiped";
    atlas.note(id, { kind: "wiped", path: logFolder, offset: 0 });
    counters.count("folders wiped");
  }

  /** Removes a log that the cluster never knew of. */
  discardLog(): void {
    const { logFolder } = this.#in;
    for (const name of this.#disk.list(logFolder)) this.#disk.remove(`${logFolder}/${name}`);
    this.#disk.syncFolder(logFolder);
  }

  /** It refuses an operation, the next time. */
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
}
