/** The parts of a batch that is not complete yet, on disk: a batch may be larger than memory. */
import type { Disk, DiskFile } from "../io/disk.ts";
import type { LogIndex } from "../raft/types.ts";

/** See the file comment. */
export class BatchSpool implements Disposable {
  readonly #file: DiskFile;
  readonly #parts = new Map<LogIndex, { readonly offset: number; readonly sizeBytes: number }>();
  #sizeBytes = 0;

  /** Makes the file. */
  constructor(disk: Disk, path: string) {
    this.#file = disk.open(path, { create: true });
  }

  /** Another batch begins. */
  begin(): void {
    this.#parts.clear();
    this.#sizeBytes = 0;
  }

  /** Puts a part aside. */
  add(index: LogIndex, payload: Uint8Array): void {
    this.#file.write(this.#sizeBytes, payload);
    this.#parts.set(index, { offset: this.#sizeBytes, sizeBytes: payload.length });
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
