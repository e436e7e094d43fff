/**
 * The medium below one node's disk: a write that it says is durable may never arrive, or arrive in
 * another place, and a read may return something else than what is there.
 *
 * What nobody could notice is left out, as nothing is promised about it. A batch that is lost is
 * made up for by the loss of power, unless something that was written later survives it: the end of
 * a log that never was looks like one that is not there any more. For the same reason nothing lands
 * on the last thing that was written to a log, or is read in its place.
 */
import type { Medium, MemoryDisk } from "../../lib/io/disk_memory.ts";
import { SECTOR_BYTES } from "../../lib/io/disk_memory_content.ts";
import type { World } from "./world.ts";

/** What may become of a write that is said to be durable. */
export type WriteFault = "lost write" | "misdirected write";
/** What may become of a read. */
export type ReadFault = "bit" | "sector";

/** A write that is not where it should be. */
interface Lie {
  readonly operation: string;
  readonly path: string;
  readonly start: number;
  readonly end: number;
  /** Something that came after it is durable. */
  buried: boolean;
}

/** What the medium is asked about, and whom it tells. */
export interface MediumOptions {
  readonly world: World;
  readonly disk: () => MemoryDisk;
  /** The folder of the log; files elsewhere are left alone. */
  readonly folder: string;
  /** A write went astray, and landed at `path` when it was misdirected. */
  readonly strayed: (fault: WriteFault, path: string, offset: number) => void;
}

/** Part of a file, from its start, that a bit is changed in: segments end with zeros. */
const USED_BYTES = 14_000;
/** Sectors that a misdirected write hits at most. */
const STRAY_SECTORS_MAX = 8;

/** See the file comment. */
export class FaultyMedium implements Medium {
  readonly #options: MediumOptions;
  #writeFault: WriteFault | undefined;
  #readFault: ReadFault | undefined;
  #readsBefore = 0;
  #lie: Lie | undefined;
  /** Whether a read returned something else since this was last asked. */
  #misread = false;
  /** Where the last batch or close record is that was durable. */
  #last: { readonly path: string; readonly at: number } | undefined;

  constructor(options: MediumOptions) {
    this.#options = options;
  }

  /** A write is missing, and nobody knows. */
  get lies(): boolean {
    return this.#lie !== undefined;
  }

  /** One of the next durable writes goes astray. */
  armWrite(fault: WriteFault): void {
    this.#writeFault = fault;
  }

  /** A read of the log returns something else, once so many were right. */
  armRead(fault: ReadFault, readsBefore: number): void {
    this.#readFault = fault;
    this.#readsBefore = readsBefore;
  }

  /** From now on the medium does as it is told. */
  disarm(): void {
    this.#writeFault = undefined;
    this.#readFault = undefined;
  }

  /** Whether a read returned something else since this was last asked. */
  takeMisread(): boolean {
    const misread = this.#misread;
    this.#misread = false;
    return misread;
  }

  read(path: string, offset: number, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#readFault === undefined || !this.#isLog(path) || bytes.length === 0) return bytes;
    if (this.#readsBefore-- > 0) return bytes;
    const { world } = this.#options;
    if (this.#readFault === "bit") {
      const at = world.below(Math.min(bytes.length, USED_BYTES));
      bytes[at] = bytes[at]! ^ (1 << world.below(8));
    } else if (!this.#swapSector(path, offset, bytes)) return bytes;
    this.#readFault = undefined;
    this.#misread = true;
    world.tell(0, () => `a read of ${path} at ${offset} returns another ${bytes.length} bytes`);
    return bytes;
  }

  writes(operation: string, path: string, start: number, end: number): boolean {
    const isUnit = operation === "log batch" || operation === "log close";
    const fault = this.#lie === undefined && this.#isLog(path) ? this.#writeFault : undefined;
    if (fault === undefined || !this.#stray(fault, operation, path, start, end)) {
      const lie = this.#lie;
      if (lie !== undefined && lie.operation === "log batch") {
        const follows = isUnit && lie.path === path && start >= lie.end;
        lie.buried ||= follows || operation === "segment header";
      }
      if (isUnit) this.#last = { path, at: start };
      return true;
    }
    this.#lie = { operation, path, start, end, buried: false };
    return false;
  }

  /** Whether an unsynced sector survives the loss of power; undefined leaves it to chance. */
  survives(path: string, sector: number): boolean | undefined {
    const lie = this.#lie;
    if (lie === undefined || path !== lie.path || sector < 0) return undefined;
    const inside = sector >= sectorOf(lie.start) && sector <= sectorOf(lie.end - 1);
    if (!inside) return undefined;
    // Whole, also where the next batch, which is not durable yet, begins in the same sector.
    if (lie.operation === "log batch" && !lie.buried) return true;
    return this.#options.disk().isForgotten(path, sector) ? false : undefined;
  }

  /**
   * The power goes.
   *
   * @returns Whether something that was said to be durable is gone.
   */
  powerLost(): boolean {
    const lie = this.#lie;
    this.#lie = undefined;
    if (lie === undefined || !this.#options.disk().exists(lie.path)) return false;
    if (lie.operation === "log batch" && !lie.buried) return false;
    // A file that was made does not have its size.
    if (lie.operation === "prepare segment") return true;
    for (let sector = sectorOf(lie.start); sector <= sectorOf(lie.end - 1); sector++) {
      if (this.#options.disk().isForgotten(lie.path, sector)) return true;
    }
    return false;
  }

  /** Returns whether the write goes astray; it does not when it could not be noticed. */
  #stray(
    fault: WriteFault,
    operation: string,
    path: string,
    start: number,
    end: number,
  ): boolean {
    const { world, strayed } = this.#options;
    let landed: { readonly path: string; readonly offset: number } = { path, offset: start };
    if (fault === "misdirected write") {
      const bytes = this.#options.disk().peek(path, start, end - start);
      const place = this.#land(bytes, start % SECTOR_BYTES);
      if (place === undefined) return false;
      landed = place;
    }
    this.#writeFault = undefined;
    world.tell(0, () => {
      return `${operation} at ${start} of ${path}: ${fault}, at ${landed.offset} of ${landed.path}`;
    });
    strayed(fault, landed.path, landed.offset);
    return true;
  }

  /** Writes `bytes` somewhere else, at the same place within a sector. */
  #land(bytes: Uint8Array, within: number): { path: string; offset: number } | undefined {
    const { world, folder } = this.#options;
    const disk = this.#options.disk();
    const name = world.pick(disk.list(folder));
    if (name === undefined) return undefined;
    const path = `${folder}/${name}`;
    const limit = this.#limitOf(path);
    const length = Math.min(bytes.length, STRAY_SECTORS_MAX * SECTOR_BYTES - within, limit);
    const sectors = sectorOf(Math.min(limit, USED_BYTES) - within - length) + 1;
    if (length <= 0 || sectors <= 0) return undefined;
    const offset = world.below(sectors) * SECTOR_BYTES + within;
    for (let at = 0; at < length; at++) disk.damage(path, offset + at, () => bytes[at]!);
    return { path, offset };
  }

  /** Puts another sector of the file into what was read of it. */
  #swapSector(path: string, offset: number, bytes: Uint8Array): boolean {
    const { world } = this.#options;
    const sectors = sectorOf(Math.min(this.#limitOf(path), USED_BYTES));
    if (sectors < 2) return false;
    const to = world.below(sectors) * SECTOR_BYTES;
    const from = world.below(sectors) * SECTOR_BYTES;
    const start = Math.max(to, offset);
    const end = Math.min(to + SECTOR_BYTES, offset + bytes.length);
    if (start >= end) return false;
    const other = this.#options.disk().peek(path, from + start - to, end - start);
    bytes.set(other, start - offset);
    return true;
  }

  /** How much of a file, from its start, may be damaged without ending as if it was never there. */
  #limitOf(path: string): number {
    const size = this.#options.disk().peek(path, 0, Infinity).length;
    if (!path.endsWith(".segment")) return size;
    const last = this.#last;
    // Segments are numbered: those before the one that is written are known to be whole.
    if (last === undefined || path > last.path) return 0;
    return path < last.path ? size : sectorOf(last.at) * SECTOR_BYTES;
  }

  #isLog(path: string): boolean {
    return path.startsWith(`${this.#options.folder}/`);
  }
}

function sectorOf(offset: number): number {
  return Math.floor(offset / SECTOR_BYTES);
}
