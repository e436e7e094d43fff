/**
 * The file `page_hashes`: what each page of the database file should hold, as of complete
 * checkpoints. It begins with all hashes; each checkpoint appends those that it changed, and when
 * these have become more than the whole, the file is written anew.
 *
 * ```text
 * record: kind u32 · bytes of the body u32 · index u64 · pages u32 · CRC-32C of what is before and
 *         of the body u32 · body
 * kind 1, the first record:   a hash of 8 bytes for each page, 0 for one that is not known
 * kind 2, each one after it:  u32 page · 8 bytes of hash, for each page that changed
 * ```
 * A record is written once the database file holds, durably, everything up to its index: so the
 * last whole record tells that, too. The file may always be missing: the hashes are then learnt
 * from the database file.
 */
import { crc32c } from "../base/crc32c.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import type { LogIndex } from "../raft/types.ts";

const KIND_ALL = 1;
const KIND_CHANGES = 2;
const HEADER_BYTES = 24;
const CHECKSUM_OFFSET = 20;
/** Bytes of a changed hash: u32 page, u64 hash. */
const CHANGE_BYTES = 12;
/** Below this the file is not written anew for being long. */
const CHANGES_BYTES_MIN = 64 * 1024;
const TWO_32 = 0x1_0000_0000;

/** Gives hashes, as u32 page and 8 bytes of hash each. */
export type HashSource = (which: "changed" | "all") => Uint8Array;

/** What the file tells. */
export interface LoadedHashes {
  /** The database file holds everything up to here. */
  readonly index: LogIndex;
  /** 8 bytes for each page. */
  readonly table: Uint8Array;
}

interface Record {
  readonly kind: number;
  readonly index: LogIndex;
  readonly pages: number;
  readonly body: Uint8Array;
  /** Offset of what follows. */
  readonly end: number;
}

/** See the file comment. */
export class HashFile {
  readonly #disk: Disk;
  readonly #path: string;
  /** Where the next record goes; 0 when all is to be written. */
  #end = 0;
  #allBytes = 0;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /**
   * Reads the hashes as of the last complete checkpoint.
   *
   * @param index Up to here the database file is known to be complete.
   * @param mayRest Whether the database may not have changed between an earlier checkpoint and
   * `index`. An earlier record counts then, unless one that came after it is damaged.
   * @returns Undefined when the file does not tell.
   */
  load(index: LogIndex, mayRest: boolean): LoadedHashes | undefined {
    this.#end = 0;
    const bytes = this.#read();
    if (bytes === undefined) return undefined;
    const records: Record[] = [];
    let at = 0;
    for (;;) {
      const record = recordAt(bytes, at, at === 0 ? KIND_ALL : KIND_CHANGES);
      if (record === undefined) break;
      records.push(record);
      at = record.end;
    }
    const last = records.at(-1);
    if (last === undefined) return undefined;
    const isKnown = last.index >= index || mayRest && at === bytes.length;
    if (!isKnown) return undefined;
    this.#end = last.end;
    this.#allBytes = records[0]!.end;
    return { index: last.index, table: tableOf(records, last.pages) };
  }

  /** Notes, durably, what the database file holds as of a checkpoint that is about to count. */
  save(index: LogIndex, pages: number, source: HashSource): void {
    const isLong = this.#end - this.#allBytes > Math.max(this.#allBytes, CHANGES_BYTES_MIN);
    if (this.#end === 0 || isLong) this.#saveAll(index, pages, source("all"));
    else this.#append(index, pages, source("changed"));
  }

  #saveAll(index: LogIndex, pages: number, changes: Uint8Array): void {
    const body = new Uint8Array(8 * pages);
    put(body, changes);
    const bytes = encode(KIND_ALL, index, pages, body);
    const isFirst = !this.#disk.exists(this.#path);
    const path = isFirst ? this.#path : `${this.#path}.new`;
    this.#end = 0;
    this.#write(path, (file) => {
      file.truncate(0);
      file.write(0, bytes);
    });
    // Should the first one be lost with its name, nothing else is taken for it.
    if (!isFirst) {
      this.#disk.rename(path, this.#path);
      this.#disk.syncFolder(this.#path.slice(0, this.#path.lastIndexOf("/")));
    }
    this.#end = this.#allBytes = bytes.length;
  }

  #append(index: LogIndex, pages: number, changes: Uint8Array): void {
    const bytes = encode(KIND_CHANGES, index, pages, changes);
    const at = this.#end;
    this.#end = 0;
    this.#write(this.#path, (file) => {
      file.truncate(at);
      file.write(at, bytes);
    });
    this.#end = at + bytes.length;
  }

  #write(path: string, write: (file: DiskFile) => void): void {
    const file = this.#disk.open(path, { create: true });
    try {
      write(file);
      file.sync();
    } finally {
      file.close();
    }
  }

  #read(): Uint8Array | undefined {
    if (!this.#disk.exists(this.#path)) return undefined;
    const file = this.#disk.open(this.#path, { create: false, readOnly: true });
    try {
      return file.read(0, file.size());
    } finally {
      file.close();
    }
  }
}

/** Undefined when there is no whole record of that kind. */
function recordAt(bytes: Uint8Array, at: number, kind: number): Record | undefined {
  if (at + HEADER_BYTES > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const size = view.getUint32(at + 4, true);
  const pages = view.getUint32(at + 16, true);
  const end = at + HEADER_BYTES + size;
  if (view.getUint32(at, true) !== kind || end > bytes.length) return undefined;
  if (kind === KIND_ALL ? size !== 8 * pages : size % CHANGE_BYTES !== 0) return undefined;
  const body = bytes.subarray(at + HEADER_BYTES, end);
  const head = bytes.subarray(at, at + CHECKSUM_OFFSET);
  if (checksumOf(head, body) !== view.getUint32(at + CHECKSUM_OFFSET, true)) return undefined;
  const index = view.getUint32(at + 8, true) + TWO_32 * view.getUint32(at + 12, true);
  return { kind, index, pages, body, end };
}

function tableOf(records: readonly Record[], pages: number): Uint8Array {
  const table = new Uint8Array(8 * pages);
  for (const { kind, body } of records) {
    if (kind === KIND_ALL) table.set(body.subarray(0, table.length));
    else put(table, body);
  }
  return table;
}

/** Puts hashes in their places; those of pages beyond the end are left out. */
function put(table: Uint8Array, changes: Uint8Array): void {
  const from = new DataView(changes.buffer, changes.byteOffset);
  const to = new DataView(table.buffer);
  for (let at = 0; at < changes.length; at += CHANGE_BYTES) {
    const place = 8 * (from.getUint32(at, true) - 1);
    if (place >= table.length) continue;
    to.setUint32(place, from.getUint32(at + 4, true), true);
    to.setUint32(place + 4, from.getUint32(at + 8, true), true);
  }
}

function encode(kind: number, index: LogIndex, pages: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, body.length, true);
  view.setUint32(8, index % TWO_32, true);
  view.setUint32(12, Math.floor(index / TWO_32), true);
  view.setUint32(16, pages, true);
  bytes.set(body, HEADER_BYTES);
  view.setUint32(CHECKSUM_OFFSET, checksumOf(bytes.subarray(0, CHECKSUM_OFFSET), body), true);
  return bytes;
}

function checksumOf(head: Uint8Array, body: Uint8Array): number {
  return crc32c(body, 0, body.length, crc32c(head));
}
