/**
 * A disk in memory that can crash. What was not made durable may be lost or kept in any mixture of
 * 512-byte sectors; creations, renames and removals may be lost; any named operation can be made to
 * fail, and the medium to lie.
 */
import { assert } from "../base/assert.ts";
import type { Disk, DiskFile, OpenFileOptions } from "./disk.ts";
import { type Change, crashNames, MemoryContent } from "./disk_memory_content.ts";

/** What a crash leaves to chance: answers whether one unsynced thing survives. */
export type Survives = (path: string, sector: number) => boolean;

interface Fault {
  readonly operation: string;
  readonly path: string | undefined;
  readonly error: Error;
  skip: number;
}

/** A medium that lies: what it does with reads and with writes that it says are durable. */
export interface Medium {
  /** The bytes that a read of `path` at `offset` returns in place of `bytes`. */
  read(path: string, offset: number, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /**
   * A durable write of `[start, end)` ends. Returns whether it reaches its place: if not, it can be
   * read until the machine loses power, and is then as if it had never been.
   */
  writes(operation: string, path: string, start: number, end: number): boolean;
}

/** A disk of the simulator and of tests. */
export class MemoryDisk implements Disk {
  /** Runs the completion of a durable write, later. */
  schedule: (run: () => void) => void;
  /** What {@linkcode freeBytes} says; no write is refused for it. */
  free = Infinity;
  /** Bytes that all files together may have: a write that needs more is refused, not foretold. */
  capacityBytes = Infinity;
  /** Undefined for a medium that is honest. */
  medium: Medium | undefined;
  #names = new Map<string, MemoryContent>();
  /** Changes of names, oldest first, that no `syncFolder` has made durable. */
  #changes: Change[] = [];
  readonly #folders = new Set<string>();
  readonly #locks = new Set<string>();
  readonly #faults: Fault[] = [];
  #dead = false;
  /** Files that were opened and not closed. */
  openFiles = 0;

  /** @param schedule By default completions run as microtasks. */
  constructor(schedule: (run: () => void) => void = queueMicrotask) {
    this.schedule = schedule;
  }

  /**
   * Makes one operation fail: `open`, `read`, `write`, `sync`, `truncate`, `remove`, `rename`,
   * `syncFolder`, or the operation named by a durable write.
   *
   * @param path Only for paths that end so.
   * @param skip How many such operations succeed first.
   */
  failNext(operation: string, error: Error, path?: string, skip = 0): void {
    this.#faults.push({ operation, path, error, skip });
  }

  /** Forgets the faults that did not strike yet. */
  clearFaults(): void {
    this.#faults.length = 0;
  }

  /** Overwrites bytes that are durable already, as a failing medium would. */
  damage(path: string, offset: number, change: (byte: number) => number): void {
    this.#content(path).damage(offset, change);
  }

  /**
   * Ends every open file and every write under way.
   *
   * @param survives Asked for every sector that is not durable, and, with sector -1, for every
   * change of a name.
   * @param inOrder Whether the first change of a name that is lost loses all later ones too.
   * @returns The disk as the next start finds it.
   */
  crash(survives: Survives, inOrder = true): MemoryDisk {
    this.#dead = true;
    return this.#after(survives, inOrder);
  }

  /** Reads a file as it is, whatever the medium says. */
  peek(path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.#content(path).read(offset, length);
  }

  /** Whether a sector can be read and counts as written, but is not on the medium. */
  isForgotten(path: string, sector: number): boolean {
    return this.#lastContent(path).isForgotten(sector);
  }

  /** Bytes of all files. */
  get usedBytes(): number {
    let bytes = 0;
    for (const content of this.#names.values()) bytes += content.size;
    return bytes;
  }

  /** A copy of what is durable now; this disk goes on. */
  platter(): MemoryDisk {
    return this.#after(() => false, true);
  }

  #after(survives: Survives, inOrder: boolean): MemoryDisk {
    const next = new MemoryDisk(this.schedule);
    const names = crashNames(this.#names, this.#changes, survives, inOrder);
    for (const [path, content] of names) next.#names.set(path, content.crash(path, survives));
    for (const folder of this.#folders) next.#folders.add(folder);
    return next;
  }

  /**
   * Ends every open file and every write under way, as the end of the process does; the machine
   * goes on, so that everything written can still be read, durable or not.
   *
   * @returns The disk as the next process finds it.
   */
  endProcess(): MemoryDisk {
    this.#dead = true;
    const next = new MemoryDisk(this.schedule);
    next.#names = this.#names;
    next.#changes = this.#changes;
    for (const folder of this.#folders) next.#folders.add(folder);
    return next;
  }

  open(path: string, options: OpenFileOptions): DiskFile {
    this.#check("open", path);
    let content = this.#names.get(path);
    if (content === undefined) {
      if (!options.create) throw systemError("ENOENT", path);
      content = new MemoryContent();
      this.#change(path, content);
    }
    return new MemoryFile(path, content, (operation) => this.#check(operation, path), {
      schedule: (run) => this.schedule(run),
      dead: () => this.#dead,
      medium: () => this.medium,
      counted: (by) => this.openFiles += by,
      grow: (bytes) => this.#grow(path, bytes),
    });
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.#folders.has(path);
  }

  list(folder: string): string[] {
    const prefix = `${folder}/`;
    const names = new Set<string>();
    for (const path of [...this.#names.keys(), ...this.#folders]) {
      if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split("/")[0]!);
    }
    return [...names].sort();
  }

  createFolder(path: string): void {
    this.#check("createFolder", path);
    const parts = path.split("/");
    for (let i = 1; i <= parts.length; i++) {
      const folder = parts.slice(0, i).join("/");
      if (this.#names.has(folder)) throw systemError("ENOTDIR", folder);
      this.#folders.add(folder);
    }
  }

  remove(path: string): void {
    this.#check("remove", path);
    this.#content(path);
    this.#change(path, undefined);
  }

  removeFolder(path: string): void {
    this.#check("removeFolder", path);
    const inside = (name: string) => name === path || name.startsWith(`${path}/`);
    for (const name of [...this.#names.keys()].filter(inside)) this.#change(name, undefined);
    for (const name of [...this.#folders].filter(inside)) this.#folders.delete(name);
  }

  rename(from: string, to: string): void {
    this.#check("rename", to);
    const content = this.#content(from);
    this.#changes.push({
      names: [[from, this.#names.get(from)], [to, this.#names.get(to)]],
      folder: folderOf(to),
    });
    this.#names.delete(from);
    this.#names.set(to, content);
  }

  freeBytes(): number {
    return this.free;
  }

  syncFolder(folder: string): void {
    this.#check("syncFolder", folder);
    this.#changes = this.#changes.filter((change) => change.folder !== folder);
  }

  lock(path: string): (() => void) | undefined {
    if (this.#locks.has(path)) return undefined;
    this.#locks.add(path);
    return () => this.#locks.delete(path);
  }

  isLocked(path: string): boolean {
    return this.#locks.has(path);
  }

  #change(path: string, content: MemoryContent | undefined): void {
    this.#changes.push({ names: [[path, this.#names.get(path)]], folder: folderOf(path) });
    if (content === undefined) this.#names.delete(path);
    else this.#names.set(path, content);
  }

  /** Of a file, or of one whose removal may be lost. */
  #lastContent(path: string): MemoryContent {
    for (const { names } of this.#changes.toReversed()) {
      const before = names.find(([name]) => name === path)?.[1];
      if (!this.#names.has(path) && before !== undefined) return before;
    }
    return this.#content(path);
  }

  #content(path: string): MemoryContent {
    const content = this.#names.get(path);
    if (content === undefined) throw systemError("ENOENT", path);
    return content;
  }

  #grow(path: string, bytes: number): void {
    if (bytes <= 0 || this.capacityBytes === Infinity) return;
    if (this.usedBytes + bytes > this.capacityBytes) throw systemError("ENOSPC", path);
  }

  #check(operation: string, path: string): void {
    assert(!this.#dead, `${operation} of ${path} on a disk that crashed`);
    const at = this.#faults.findIndex((fault) =>
      fault.operation === operation && path.endsWith(fault.path ?? "")
    );
    if (at === -1) return;
    const fault = this.#faults[at]!;
    if (fault.skip-- > 0) return;
    this.#faults.splice(at, 1);
    throw Object.assign(new Error(`${path}: ${fault.error.message}`), { cause: fault.error });
  }
}

/** The disk, as one of its files needs it. */
interface Edge {
  schedule(run: () => void): void;
  dead(): boolean;
  medium(): Medium | undefined;
  /** A file was opened, or closed. */
  counted(by: number): void;
  /** Takes space for a file that grows by so many bytes; throws when there is none. */
  grow(bytes: number): void;
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #content: MemoryContent;
  readonly #check: (operation: string) => void;
  readonly #edge: Edge;
  #busy = false;
  #syncing = false;
  #closed = false;

  constructor(
    path: string,
    content: MemoryContent,
    check: (operation: string) => void,
    edge: Edge,
  ) {
    this.path = path;
    this.#content = content;
    this.#check = check;
    this.#edge = edge;
    edge.counted(1);
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    this.#use("read");
    const bytes = this.#content.read(offset, length);
    return this.#edge.medium()?.read(this.path, offset, bytes) ?? bytes;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#use("write");
    this.#edge.grow(offset + bytes.length - this.#content.size);
    this.#content.write(offset, bytes);
  }

  sync(): void {
    try {
      this.#use("sync");
    } catch (error) {
      this.#content.failRange(0, this.#content.size);
      throw error;
    }
    this.#content.sync();
  }

  syncLater(done: (error: Error | undefined) => void): void {
    assert(!this.#closed, `${this.path}: sync of a closed file`);
    assert(!this.#syncing, `${this.path}: two syncs at once`);
    this.#syncing = true;
    this.#edge.schedule(() => {
      if (this.#edge.dead()) return;
      this.#syncing = false;
      let failure: Error | undefined;
      try {
        this.#check("sync");
        this.#content.sync();
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error));
        this.#content.failRange(0, this.#content.size);
      }
      done(failure);
    });
  }

  writeDurably(
    operation: string,
    offset: number,
    parts: readonly Uint8Array[],
    done: (error: Error | undefined) => void,
  ): void {
    assert(!this.#closed, `${this.path}: durable write to a closed file`);
    assert(!this.#busy, `${this.path}: two durable writes at once`);
    this.#busy = true;
    const refusal = this.#writeParts(offset, parts);
    const at = offset + parts.reduce((sum, part) => sum + part.length, 0);
    this.#edge.schedule(() => {
      if (this.#edge.dead()) return;
      this.#busy = false;
      let failure: Error | undefined;
      try {
        if (refusal !== undefined) throw refusal;
        this.#check(operation);
        const reaches = this.#edge.medium()?.writes(operation, this.path, offset, at) ?? true;
        if (reaches) this.#content.syncRange(offset, at);
        else this.#content.failRange(offset, at);
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error));
        this.#content.failRange(offset, at);
      }
      done(failure);
    });
  }

  /** Returns why the disk has no space for them. */
  #writeParts(offset: number, parts: readonly Uint8Array[]): unknown {
    let at = offset;
    for (const part of parts) {
      try {
        this.#edge.grow(at + part.length - this.#content.size);
      } catch (error) {
        return error;
      }
      this.#content.write(at, part);
      at += part.length;
    }
    return undefined;
  }

  size(): number {
    this.#use("size");
    return this.#content.size;
  }

  truncate(size: number): void {
    this.#use("truncate");
    this.#edge.grow(size - this.#content.size);
    this.#content.truncate(size);
  }

  close(): void {
    if (!this.#closed) this.#edge.counted(-1);
    this.#closed = true;
  }

  #use(operation: string): void {
    assert(!this.#closed, `${this.path} is closed`);
    this.#check(operation);
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
