/** The parts of batches that are not complete yet, on disk: a batch may be larger than memory. */
import type { Disk, DiskFile } from "../io/disk.ts";
import type { LogIndex } from "../raft/types.ts";

interface Part {
  readonly databaseId: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** See the file comment. */
export class BatchSpool implements Disposable {
  readonly #file: DiskFile;
  readonly #parts = new Map<LogIndex, Part>();
  #sizeBytes = 0;

  /** Makes the file. */
  constructor(disk: Disk, path: string) {
    this.#file = disk.open(path, { create: true });
  }

  /** A batch of the database is over, or given up. */
  forget(databaseId: number): void {
    for (const [index, part] of [...this.#parts]) {
      if (part.databaseId === databaseId) this.#parts.delete(index);
    }
    if (this.#parts.size === 0) this.#sizeBytes = 0;
  }

  /** Puts a part aside. */
  add(index: LogIndex, databaseId: number, payload: Uint8Array): void {
    this.#file.write(this.#sizeBytes, payload);
    this.#parts.set(index, { databaseId, offset: this.#sizeBytes, sizeBytes: payload.length });
    this.#sizeBytes += payload.length;
  }

  /** A part; undefined when there is none at this entry. */
  get(index: LogIndex): Uint8Array | undefined {
    const part = this.#parts.get(index);
    return part && this.#file.read(part.offset, part.sizeBytes);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
