/**
 * The giving end of a snapshot on the network: answers what a taker asks, one request for each turn
 * of the event loop, and none while the connection is full. A taker may have so few requests under
 * way that neither end ever holds more than a few ranges of pages.
 *
 * No page is given that does not have the hash that the file should have there. One that differs
 * for a moment is being written by a checkpoint. One that goes on to differ is damaged: it is
 * repaired from another node meanwhile, or the giving ends, and the taker asks somebody else.
 */
import { AssertionError } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { PAGE_REQUESTS_MAX, SNAPSHOT_STALL_MS, SNAPSHOTS_GIVEN_MAX } from "../base/limits.ts";
import { PAGE_RECHECK_MS, SNAPSHOT_REPAIR_MS_MAX } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex, NodeId, SnapshotBase } from "../raft/types.ts";
import type { SnapshotSource } from "../replica/snapshot_source.ts";
import type { Channel, ChannelHandler } from "../transport/channel.ts";
import type { Frame } from "../wire/frame.ts";
import {
  decodePageRequest,
  type PageRequest,
  type PageResponse,
  pageResponseBytes,
  rangePages,
} from "../wire/pages.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import type { DatabaseList } from "../wire/database_list.ts";
import type { PageFile } from "./page_file.ts";
import { PageFiles } from "./page_files.ts";
import { differingPages } from "./page_hashes.ts";

/** What giving needs. */
export interface SnapshotGiverOptions {
  readonly source: SnapshotSource;
  readonly disk: Disk;
  /** The file of a database. */
  readonly pathOf: (id: number) => string;
  /** Whether SQLite has a database open. */
  readonly isOpen: (id: number) => boolean;
  /** All databases at this moment. */
  readonly databases: () => DatabaseList;
  readonly clock: Clock;
  readonly log: Log;
  readonly isMember: (id: NodeId) => boolean;
  /**
   * Holds pages of a database file against their hashes, from page `first` on; those that differ
   * are to be repaired with `damaged`. Returns the first one that does.
   */
  readonly check: (
    databaseId: number,
    first: number,
    pages: Uint8Array,
    damaged: boolean,
  ) => number | undefined;
  /** Brings the database file up to date, so that the next attempt finds a later snapshot. */
  readonly checkpoint: () => void;
  /** The node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

/** Gives snapshots to several nodes at once. */
export class SnapshotGiver {
  readonly #options: SnapshotGiverOptions;
  readonly #givings = new Map<NodeId, Giving>();
  readonly #files: PageFiles;

  constructor(options: SnapshotGiverOptions) {
    this.#options = options;
    this.#files = new PageFiles(options);
  }

  /** Serves a node. One that dials again has given its earlier connection up. */
  serve(peer: NodeId, channel: Channel): ChannelHandler {
    this.#givings.get(peer)?.end();
    const giving: Giving = new Giving(this.#options, peer, channel, {
      files: this.#files,
      mayBegin: () => this.#givings.size <= SNAPSHOTS_GIVEN_MAX,
      ended: () => {
        if (this.#givings.get(peer) === giving) this.#givings.delete(peer);
      },
    });
    this.#givings.set(peer, giving);
    return giving;
  }

  /** Ends everything. SQLite must have closed the database. */
  close(): void {
    for (const giving of [...this.#givings.values()]) giving.end();
    this.#files.close();
  }
}

interface GivingHost {
  readonly files: PageFiles;
  mayBegin(): boolean;
  ended(): void;
}

/** What one node is given. */
class Giving implements ChannelHandler {
  readonly #options: SnapshotGiverOptions;
  readonly #peer: NodeId;
  readonly #channel: Channel;
  readonly #host: GivingHost;
  readonly #requests: PageRequest[] = [];
  #base: SnapshotBase | undefined;
  /** What is compared. */
  #file: PageFile | undefined;
  #databaseId = MAIN_DATABASE_ID;
  #isFull = false;
  #isScheduled = false;
  #isDone = false;
  readonly #startMs: number;
  #heardMs: number;
  #comparedPages = 0;
  #sentPages = 0;
  #sentBytes = 0;
  #cancelWatch: () => void = () => {};
  /** Since when the next range has a page that differs from its hash. */
  #differsSinceMs: number | undefined;

  constructor(
    options: SnapshotGiverOptions,
    peer: NodeId,
    channel: Channel,
    host: GivingHost,
  ) {
    this.#options = options;
    this.#peer = peer;
    this.#channel = channel;
    this.#host = host;
    this.#startMs = this.#heardMs = options.clock.nowMs();
    this.#watch();
  }

  end(): void {
    this.#channel.fail(undefined);
  }

  onFrame(frame: Frame): void {
    if (frame.type !== "page_request") {
      return this.#channel.violation(`Unexpected frame: ${frame.type}`);
    }
    const request = this.#channel.read(() => decodePageRequest(frame.body));
    if (request === undefined) return;
    if (this.#requests.length >= PAGE_REQUESTS_MAX) {
      return this.#channel.violation(`More than ${PAGE_REQUESTS_MAX} requests for pages at once`);
    }
    this.#heardMs = this.#options.clock.nowMs();
    this.#requests.push(request);
    this.#schedule();
  }

  onDrain(): void {
    this.#isFull = false;
    this.#schedule();
  }

  onClose(reason: Error | undefined): void {
    this.#cancelWatch();
    this.#requests.length = 0;
    this.#close();
    this.#host.ended();
    if (this.#base === undefined || this.#isDone) return;
    this.#options.log.info("a snapshot that it gave was cut off", {
      to: this.#peer,
      reason: reason?.message,
      sentPages: this.#sentPages,
      sentBytes: this.#sentBytes,
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isFull || this.#requests.length === 0) return;
    this.#isScheduled = true;
    const delayMs = this.#differsSinceMs === undefined ? 0 : PAGE_RECHECK_MS;
    this.#options.clock.after(delayMs, () => {
      this.#isScheduled = false;
      const request = this.#requests.shift();
      if (request === undefined || !this.#channel.isOpen) return;
      this.#answer(request);
      this.#schedule();
    });
  }

  #answer(request: PageRequest): void {
    try {
      switch (request.type) {
        case "ask":
          return this.#ask(request.least);
        case "open":
          return this.#open(request.databaseId);
        case "compare":
          return this.#compare(request);
        case "finish":
          return this.#finish();
      }
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      // The database file cannot be read: whoever needs it next will stop the node.
      this.#giveUp(messageOf(error));
    }
  }

  #ask(least: LogIndex): void {
    const { source, checkpoint, isMember } = this.#options;
    if (this.#base !== undefined) return this.#channel.violation("A snapshot was asked for twice");
    if (!isMember(this.#peer)) return this.#refuse(`Node ${this.#peer} is no member here`);
    if (!this.#host.mayBegin()) return this.#refuse("Others are being given a snapshot");
    const base = this.#begin(source);
    const file = base && this.#host.files.open(MAIN_DATABASE_ID);
    this.#file = file;
    if (base === undefined || file === undefined || base.index < least) {
      this.#close();
      checkpoint();
      return this.#refuse(`The database file is not at entry ${least} yet`);
    }
    this.#base = base;
    const { pageBytes, pages } = file;
    const { log } = this.#options;
    const databases = this.#options.databases();
    const count = databases.databases.length;
    log.info("gives a snapshot", { to: this.#peer, index: base.index, pages, databases: count });
    this.#send({
      type: "offer",
      base,
      pageBytes,
      pages,
      ...databases.lastId > MAIN_DATABASE_ID && { databases },
    });
  }

  #open(databaseId: number): void {
    if (this.#base === undefined) return this.#channel.violation("A file before a snapshot");
    if (!this.#progress()) return;
    this.#close();
    this.#databaseId = databaseId;
    this.#file = this.#host.files.open(databaseId);
    if (this.#file === undefined) return this.#giveUp(`database ${databaseId} is gone`);
    const { pageBytes, pages } = this.#file;
    this.#send({ type: "file", pageBytes, pages });
  }

  /** Gives back the file that is compared. */
  #close(): void {
    if (this.#file !== undefined) this.#host.files.giveBack(this.#databaseId);
    this.#file = undefined;
  }

  /** Whether the copy can go on. */
  #progress(): boolean {
    if (this.#options.source.progress(this.#peer, this.#base!)) return true;
    this.#giveUp("its database is replaced");
    return false;
  }

  /** Looks into the log, which may be damaged. */
  #begin(source: SnapshotSource): SnapshotBase | undefined {
    try {
      return source.begin(this.#peer);
    } catch (error) {
      this.#options.onFatal(error instanceof Error ? error : new Error(messageOf(error)));
      return undefined;
    }
  }

  #compare(request: PageRequest & { type: "compare" }): void {
    const { first, count, hashes } = request;
    const file = this.#file;
    if (file === undefined) return this.#channel.violation("Pages before a snapshot");
    if (count > rangePages(file.pageBytes)) {
      return this.#channel.violation(`${count} pages of ${file.pageBytes} bytes at once`);
    }
    if (!this.#progress()) return;
    const { pageBytes } = file;
    const range = file.read(first, count);
    if (!this.#isWhole(request, range)) return;
    const present = range.length / pageBytes;
    const offsets = differingPages(range, pageBytes, hashes);
    this.#comparedPages += present;
    this.#sentPages += offsets.length;
    const bytes = pick(range, pageBytes, offsets);
    this.#send({ type: "pages", first, present, offsets, bytes });
  }

  /** Whether the pages are what they should be. Otherwise they are looked at again, for a time. */
  #isWhole(request: PageRequest & { type: "compare" }, range: Uint8Array): boolean {
    const { check, clock } = this.#options;
    const sinceMs = this.#differsSinceMs;
    const page = check(this.#databaseId, request.first, range, sinceMs !== undefined);
    this.#differsSinceMs = page === undefined ? undefined : sinceMs ?? clock.nowMs();
    if (page === undefined) return true;
    const elapsedMs = clock.nowMs() - this.#differsSinceMs!;
    if (elapsedMs <= SNAPSHOT_REPAIR_MS_MAX) this.#requests.unshift(request);
    else {
      const reason = `page ${page} of its database file is damaged`;
      this.#options.log.warn("ends a snapshot that it gives", { to: this.#peer, reason });
      this.#refuse(reason);
    }
    return false;
  }

  #finish(): void {
    const { source, clock, log } = this.#options;
    if (this.#base === undefined) return this.#channel.violation("The end before a snapshot");
    const fuzzyIndex = source.end(this.#peer, this.#base);
    if (fuzzyIndex === undefined) return this.#giveUp("its database is replaced");
    this.#close();
    const main = this.#host.files.open(MAIN_DATABASE_ID);
    this.#databaseId = MAIN_DATABASE_ID;
    this.#file = main;
    this.#send({ type: "end", fuzzyIndex, pages: main!.pages });
    this.#isDone = true;
    log.info("gave a snapshot", {
      to: this.#peer,
      index: this.#base.index,
      fuzzyIndex,
      pages: this.#comparedPages,
      sentPages: this.#sentPages,
      sentBytes: this.#sentBytes,
      durationMs: Math.round(clock.nowMs() - this.#startMs),
    });
  }

  #refuse(reason: string): void {
    this.#send({ type: "nothing", reason });
    this.#channel.end();
  }

  #giveUp(reason: string): void {
    this.#options.log.warn("ends a snapshot that it gives", { to: this.#peer, reason });
    this.#channel.end();
  }

  #send(response: PageResponse): void {
    const bytes = pageResponseBytes(response);
    this.#sentBytes += bytes.length;
    this.#isFull = !this.#channel.write(bytes);
  }

  /** Ends a giving whose taker asks nothing any more. */
  #watch(): void {
    const { clock } = this.#options;
    this.#cancelWatch = clock.after(SNAPSHOT_STALL_MS / 4, () => {
      const quietMs = clock.nowMs() - this.#heardMs;
      if (quietMs < SNAPSHOT_STALL_MS) return this.#watch();
      this.#giveUp(`nothing was asked for ${Math.round(quietMs)} ms`);
    });
  }
}

/** Some pages of a range, one after another. */
function pick(range: Uint8Array, pageBytes: number, offsets: readonly number[]): Uint8Array {
  if (offsets.length * pageBytes === range.length) return range;
  const bytes = new Uint8Array(offsets.length * pageBytes);
  offsets.forEach((offset, at) => {
    bytes.set(range.subarray(offset * pageBytes, (offset + 1) * pageBytes), at * pageBytes);
  });
  return bytes;
}
