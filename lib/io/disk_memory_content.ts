/** The content of one file of the disk in memory, as it is and as a crash may leave it. */

/** What a disk writes whole or not at all. */
export const SECTOR_BYTES = 512;

/** What the medium holds where nothing was ever written; never changed. */
const BLANK = new Uint8Array(SECTOR_BYTES);

/** One creation, rename or removal that is not durable, by what the names meant before it. */
export interface Change {
  readonly names: readonly (readonly [path: string, before: MemoryContent | undefined])[];
  readonly folder: string;
}

/** Bytes with the durable version of every sector that differs from it. */
export class MemoryContent {
  #bytes = new Uint8Array(0);
  #size = 0;
  #durableSize = 0;
  /** By sector, what the medium holds; a sector that is not here is durable as it is. */
  readonly #durable = new Map<number, Uint8Array<ArrayBuffer>>();
  /** Sectors whose write failed: no sync makes them durable, unless they are written again. */
  readonly #forgotten = new Set<number>();

  get size(): number {
    return this.#size;
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(offset, Math.min(offset + length, this.#size));
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    const blankFrom = this.#size;
    this.#grow(end);
    this.#keepDurable(offset, end, blankFrom);
    this.#bytes.set(bytes, offset);
    for (let sector = sectorOf(offset); sector <= sectorOf(end - 1); sector++) {
      this.#forgotten.delete(sector);
    }
  }

  truncate(size: number): void {
    this.#keepDurable(size, this.#size, this.#size);
    this.#grow(size);
    this.#bytes.fill(0, size);
    this.#size = size;
  }

  sync(): void {
    for (const sector of this.#durable.keys()) {
      if (!this.#forgotten.has(sector)) this.#durable.delete(sector);
    }
    this.#durableSize = this.#size;
  }

  /**
   * What a system does after a failed write: `[start, end)` can still be read, counts as written,
   * and is not on the medium (Rebello et al., "Can Applications Recover from fsync Failures?").
   */
  failRange(start: number, end: number): void {
    for (let sector = sectorOf(start); sector <= sectorOf(end - 1); sector++) {
      if (this.#durable.has(sector)) this.#forgotten.add(sector);
    }
  }

  /** Makes the sectors of `[start, end)` durable, and no others. */
  syncRange(start: number, end: number): void {
    for (let sector = sectorOf(start); sector <= sectorOf(end - 1); sector++) {
      this.#durable.delete(sector);
    }
    this.#durableSize = Math.max(this.#durableSize, Math.min(end, this.#size));
  }

  isForgotten(sector: number): boolean {
    return this.#forgotten.has(sector);
  }

  damage(offset: number, change: (byte: number) => number): void {
    this.#bytes[offset] = change(this.#bytes[offset] ?? 0);
    const sector = sectorOf(offset);
    const kept = this.#durable.get(sector)?.slice();
    if (kept === undefined) return;
    kept[offset % SECTOR_BYTES] = this.#bytes[offset]!;
    this.#durable.set(sector, kept);
  }

  /** The content after a crash; `survives` decides sector by sector. */
  crash(path: string, survives: (path: string, sector: number) => boolean): MemoryContent {
    const after = new MemoryContent();
    const size = this.#size === this.#durableSize || survives(path, -1)
      ? this.#size
      : this.#durableSize;
    after.#grow(size);
    after.#bytes.set(this.#bytes.subarray(0, size));
    for (const [sector, durable] of this.#durable) {
      const at = sector * SECTOR_BYTES;
      if (at >= size || survives(path, sector)) continue;
      after.#bytes.set(durable.subarray(0, Math.min(SECTOR_BYTES, size - at)), at);
    }
    after.#durableSize = size;
    return after;
  }

  /** @param blankFrom The file ended here, so that all behind it is zeros. */
  #keepDurable(start: number, end: number, blankFrom: number): void {
    if (end <= start) return;
    for (let sector = sectorOf(start); sector <= sectorOf(end - 1); sector++) {
      if (this.#durable.has(sector)) continue;
      const at = sector * SECTOR_BYTES;
      this.#durable.set(
        sector,
        at >= blankFrom ? BLANK : this.#bytes.slice(at, at + SECTOR_BYTES),
      );
    }
  }

  #grow(size: number): void {
    if (size > this.#bytes.length) {
      // Whole sectors, so that each can be cut out.
      const sectors = Math.ceil(Math.max(size, this.#bytes.length * 2) / SECTOR_BYTES);
      const bytes = new Uint8Array(sectors * SECTOR_BYTES);
      bytes.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = bytes;
    }
    this.#size = Math.max(this.#size, size);
  }
}

/**
 * The names after a crash. In order, changes are lost from the last one back to the first that is
 * lost, as by a journal; else each on its own, as nothing promises more without a sync.
 */
export function crashNames(
  names: ReadonlyMap<string, MemoryContent>,
  changes: readonly Change[],
  survives: (path: string, sector: number) => boolean,
  inOrder: boolean,
): Map<string, MemoryContent> {
  const after = new Map(names);
  const set = (path: string, content: MemoryContent | undefined) => {
    if (content === undefined) after.delete(path);
    else after.set(path, content);
  };
  const kept = changes.map((change) => survives(change.names[0]![0], -1));
  const lost = kept.indexOf(false);
  if (lost === -1) return after;
  const undone: (readonly [path: string, content: MemoryContent | undefined])[][] = [];
  for (const change of changes.slice(lost).reverse()) {
    undone.push(change.names.map(([path]) => [path, after.get(path)] as const));
    for (const [path, before] of change.names) set(path, before);
  }
  if (inOrder) return after;
  undone.reverse().forEach((meant, at) => {
    if (kept[lost + at]) { for (const [path, content] of meant) set(path, content); }
  });
  return after;
}

function sectorOf(offset: number): number {
  return Math.floor(offset / SECTOR_BYTES);
}
