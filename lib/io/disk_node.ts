/**
 * The disk of the machine, over the file system of Bun and Deno. A durable write is one write to a
 * descriptor opened with `O_DSYNC`: as safe as a write and an `fdatasync`, with one call less.
 */
import {
  close,
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  write,
  writeSync,
} from "node:fs";
import { assert } from "../base/assert.ts";
import type { Disk, DiskFile, OpenFileOptions } from "./disk.ts";
import { isLockHeld, lockFile } from "./process_lock.ts";
import { WritePolicy } from "./write_policy.ts";

/** Joined batches up to this size share one buffer, which stays allocated. */
const JOIN_BYTES_KEPT = 256 * 1024;
/** Direct writes whose completions may follow each other before the event loop gets its turn. */
const DIRECT_STREAK_MAX = 8;

/** Files of this machine. One instance per disk: it learns how fast durable writes are. */
export class NodeDisk implements Disk {
  readonly #scheduler = new DurableWrites();

  open(path: string, options: OpenFileOptions): DiskFile {
    const access = options.readOnly === true ? constants.O_RDONLY : constants.O_RDWR;
    const flags = access | (options.create ? constants.O_CREAT : 0);
    return new NodeFile(path, openSync(path, flags, 0o644), this.#scheduler);
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  list(folder: string): string[] {
    try {
      return readdirSync(folder).sort();
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  createFolder(path: string): void {
    mkdirSync(path, { recursive: true });
  }

  remove(path: string): void {
    rmSync(path);
  }

  removeFolder(path: string): void {
    rmSync(path, { recursive: true, force: true });
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  freeBytes(folder: string): number {
    try {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    } catch {
      return Infinity;
    }
  }

  syncFolder(folder: string): void {
    const descriptor = openSync(folder, constants.O_RDONLY);
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  lock(path: string): (() => void) | undefined {
    return lockFile(path);
  }

  isLocked(path: string): boolean {
    return isLockHeld(path);
  }
}

class NodeFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  readonly #writes: DurableWrites;
  /** Opened with `O_DSYNC`, when first needed. */
  #durable: number | undefined;
  #joined = new Uint8Array(0);
  #busy = false;
  #syncing = false;
  #closed = false;

  constructor(path: string, descriptor: number, writes: DurableWrites) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#writes = writes;
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    let count = 0;
    while (count < length) {
      const got = this.#name(() =>
        readSync(this.#descriptor, bytes, count, length - count, offset + count)
      );
      if (got === 0) break;
      count += got;
    }
    return bytes.subarray(0, count);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#name(() => writeAll(this.#descriptor, offset, bytes));
  }

  sync(): void {
    this.#name(() => fdatasyncSync(this.#descriptor));
  }

  syncLater(done: (error: Error | undefined) => void): void {
    assert(!this.#syncing, `${this.path}: two syncs at once`);
    assert(!this.#closed, `${this.path}: sync of a closed file`);
    this.#syncing = true;
    fdatasync(this.#descriptor, (error) => {
      this.#syncing = false;
      if (this.#closed) this.#closeDescriptors();
      done(error ? named(error, `${this.path}: sync`) : undefined);
    });
  }

  writeDurably(
    operation: string,
    offset: number,
    parts: readonly Uint8Array[],
    done: (error: Error | undefined) => void,
  ): void {
    assert(!this.#busy, `${this.path}: two durable writes at once`);
    assert(!this.#closed, `${this.path}: durable write to a closed file`);
    this.#busy = true;
    const finish = (error: Error | undefined) => {
      this.#busy = false;
      if (this.#closed) this.#closeDescriptors();
      done(error === undefined ? undefined : named(error, `${this.path}: ${operation}`));
    };
    let descriptor: number;
    try {
      this.#durable ??= openSync(this.path, constants.O_RDWR | constants.O_DSYNC);
      descriptor = this.#durable;
    } catch (error) {
      queueMicrotask(() => finish(asError(error)));
      return;
    }
    this.#writes.run(descriptor, offset, this.#join(parts), finish);
  }

  size(): number {
    return this.#name(() => fstatSync(this.#descriptor).size);
  }

  truncate(size: number): void {
    this.#name(() => ftruncateSync(this.#descriptor, size));
  }

  /** A durable write or sync under way keeps the descriptors open until it is done. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeDescriptors();
  }

  #closeDescriptors(): void {
    if (this.#busy || this.#syncing) return;
    closeSync(this.#descriptor);
    if (this.#durable !== undefined) close(this.#durable, () => {});
  }

  #join(parts: readonly Uint8Array[]): Uint8Array {
    if (parts.length === 1) return parts[0]!;
    let length = 0;
    for (const part of parts) length += part.length;
    let joined = this.#joined;
    if (joined.length < length) {
      joined = new Uint8Array(Math.max(length, 16 * 1024));
      if (length <= JOIN_BYTES_KEPT) this.#joined = joined;
    }
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined.subarray(0, length);
  }

  #name<T>(run: () => T): T {
    assert(!this.#closed, `${this.path} is closed`);
    try {
      return run();
    } catch (error) {
      throw named(asError(error), this.path);
    }
  }
}

/** Runs durable writes where the policy wants them. */
class DurableWrites {
  readonly #policy = new WritePolicy();
  #streak = 0;

  run(
    descriptor: number,
    offset: number,
    bytes: Uint8Array,
    done: (error: Error | undefined) => void,
  ): void {
    const startMs = performance.now();
    if (this.#policy.choose(bytes.length) === "pool") {
      writeAllInPool(descriptor, offset, bytes, (error) => {
        this.#policy.record("pool", bytes.length, performance.now() - startMs);
        done(error);
      });
      return;
    }
    let failure: Error | undefined;
    try {
      writeAll(descriptor, offset, bytes);
    } catch (error) {
      failure = asError(error);
    }
    this.#policy.record("direct", bytes.length, performance.now() - startMs);
    this.#complete(() => done(failure));
  }

  /** Completions that each start the next write would keep timers and sockets from running. */
  #complete(run: () => void): void {
    this.#streak++;
    if (this.#streak < DIRECT_STREAK_MAX) {
      queueMicrotask(run);
      return;
    }
    setImmediate(() => {
      this.#streak = 0;
      run();
    });
  }
}

function writeAll(descriptor: number, offset: number, bytes: Uint8Array): void {
  let at = 0;
  while (at < bytes.length) {
    at += writeSync(descriptor, bytes, at, bytes.length - at, offset + at);
  }
}

function writeAllInPool(
  descriptor: number,
  offset: number,
  bytes: Uint8Array,
  done: (error: Error | undefined) => void,
): void {
  write(descriptor, bytes, 0, bytes.length, offset, (error, count) => {
    if (error) return done(error);
    if (count === bytes.length) return done(undefined);
    writeAllInPool(descriptor, offset + count, bytes.subarray(count), done);
  });
}

function named(error: Error, path: string): Error {
  if (error.message.includes(path)) return error;
  const renamed = new Error(`${path}: ${error.message}`, { cause: error });
  return Object.assign(renamed, { code: codeOf(error) });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
