/**
 * The taking end of a snapshot on the network: dials the node that offered one, and brings the
 * database file page by page to what is there. The file itself says how far an attempt came that
 * was cut off: pages that are there already do not travel again.
 */
import { AssertionError } from "../base/assert.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { PAGE_REQUESTS_MAX, PAGE_RESPONSE_BYTES_MAX } from "../base/limits.ts";
import { SNAPSHOT_STALL_MS, SNAPSHOT_SYNC_BYTES } from "../base/limits.ts";
import { parseAddress } from "../io/address.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Network } from "../io/network.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex, NodeId } from "../raft/types.ts";
import type { SnapshotEdge, SnapshotReceiver } from "../replica/snapshot_install.ts";
import type { Channel } from "../transport/channel.ts";
import { dial } from "../transport/dial.ts";
import { helloOf } from "../transport/handshake.ts";
import type { Identity } from "../transport/types.ts";
import type { Frame } from "../wire/frame.ts";
import {
  decodePageResponse,
  type PageRequest,
  pageRequestBytes,
  type PageResponse,
  rangePages,
} from "../wire/pages.ts";
import { PageFile } from "./page_file.ts";
import { pageHashes } from "./page_hashes.ts";

/** What taking needs. */
export interface SnapshotTakerOptions {
  readonly disk: Disk;
  /** The database file. */
  readonly path: string;
  readonly network: Network;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly log: Log;
  /** `HOST:PORT` of a node's cluster port, where it is known. */
  readonly addressOf: (id: NodeId) => string | undefined;
}

/** See the file comment. */
export class SnapshotTaker implements SnapshotEdge {
  readonly #options: SnapshotTakerOptions;
  #writtenPages = 0;

  constructor(options: SnapshotTakerOptions) {
    this.#options = options;
  }

  fetch(from: NodeId, least: LogIndex, receiver: SnapshotReceiver): () => void {
    const noteWritten = (pages: number) => void (this.#writtenPages += pages);
    const taking = new Taking(this.#options, from, least, receiver, noteWritten);
    taking.start();
    return () => taking.cancel();
  }

  /** Pages that were written in all attempts. */
  get writtenPages(): number {
    return this.#writtenPages;
  }
}

type Offer = PageResponse & { type: "offer" };
type Pages = PageResponse & { type: "pages" };
type End = PageResponse & { type: "end" };

/** One attempt. */
class Taking {
  readonly #options: SnapshotTakerOptions;
  readonly #from: NodeId;
  readonly #least: LogIndex;
  readonly #receiver: SnapshotReceiver;
  readonly #noteWritten: (pages: number) => void;
  #channel: Channel | undefined;
  #offer: Offer | undefined;
  #file: PageFile | undefined;
  /** The ranges that are asked for, in order, each by its first page and its size. */
  readonly #asked: { readonly first: number; readonly count: number }[] = [];
  #nextPage = 1;
  /** Written, and not yet under way to the disk. */
  #unsyncedBytes = 0;
  #isSyncing = false;
  #end: End | undefined;
  #isFinishing = false;
  #isOver = false;
  readonly #startMs: number;
  #movedMs: number;
  #receivedBytes = 0;
  #writtenPages = 0;
  #cancelWatch: () => void = () => {};

  constructor(
    options: SnapshotTakerOptions,
    from: NodeId,
    least: LogIndex,
    receiver: SnapshotReceiver,
    noteWritten: (pages: number) => void,
  ) {
    this.#options = options;
    this.#from = from;
    this.#least = least;
    this.#receiver = receiver;
    this.#noteWritten = noteWritten;
    this.#startMs = this.#movedMs = options.clock.nowMs();
  }

  start(): void {
    const { network, clock, identity, addressOf } = this.#options;
    try {
      const address = addressOf(this.#from);
      if (address === undefined) throw new DatabaseError("CONFIG", "its address is not known");
      this.#channel = dial({
        network,
        clock,
        address: parseAddress(address),
        hello: helloOf(identity, "pages", this.#from),
        bodyBytesMax: PAGE_RESPONSE_BYTES_MAX,
      }, {
        onEstablished: () => this.#send({ type: "ask", least: this.#least }),
        onFrame: (frame) => this.#onFrame(frame),
        onDrain: () => {},
        onClose: (reason) => this.#onClose(reason),
      });
      this.#watch();
    } catch (error) {
      clock.soon(() => this.#fail(messageOf(error)));
    }
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelWatch();
    this.#channel?.fail(undefined);
    this.#file?.close();
  }

  #fail(reason: string): void {
    if (this.#isOver) return;
    this.cancel();
    const level = this.#offer === undefined ? "debug" : "warn";
    this.#options.log[level]("takes no snapshot", { from: this.#from, reason });
    this.#receiver.failed();
  }

  /** Once the end is told, the other side is not needed any more. */
  #onClose(reason: Error | undefined): void {
    if (this.#end === undefined) this.#fail(reason?.message ?? "the connection was closed");
  }

  #onFrame(frame: Frame): void {
    const channel = this.#channel!;
    if (this.#isOver) return;
    if (frame.type !== "page_response") {
      return channel.violation(`Unexpected frame: ${frame.type}`);
    }
    const response = channel.read(() => decodePageResponse(frame.body));
    if (response === undefined) return;
    this.#receivedBytes += frame.body.length;
    this.#movedMs = this.#options.clock.nowMs();
    this.#attempt(() => this.#take(response));
  }

  #take(response: PageResponse): void {
    switch (response.type) {
      case "nothing":
        return this.#fail(response.reason);
      case "offer":
        return this.#begin(response);
      case "pages":
        return this.#write(response);
      case "end":
        return this.#complete(response);
    }
  }

  #begin(offer: Offer): void {
    if (this.#offer !== undefined) return this.#channel!.violation("A second offer");
    this.#offer = offer;
    const { index } = offer.base;
    this.#options.log.info("takes a snapshot", { from: this.#from, index, pages: offer.pages });
    this.#receiver.begin(offer.base, () => {
      if (!this.#isOver) this.#attempt(() => this.#copy(offer));
    });
  }

  /** The database is given up: its file may be overwritten. */
  #copy(offer: Offer): void {
    const { disk, path, clock } = this.#options;
    this.#movedMs = clock.nowMs();
    this.#file = PageFile.overwrite(disk, path, offer.pageBytes);
    // What is beyond the end over there must not come back should the file grow again.
    this.#file.cut(offer.pages);
    this.#askOn();
  }

  /** Asks for the next ranges, as far as the disk keeps up. */
  #askOn(): void {
    const { pageBytes, pages } = this.#offer!;
    while (this.#asked.length < PAGE_REQUESTS_MAX && this.#nextPage <= pages) {
      if (this.#isSyncing && this.#unsyncedBytes >= SNAPSHOT_SYNC_BYTES) return;
      const first = this.#nextPage;
      const count = Math.min(rangePages(pageBytes), pages - first + 1);
      this.#nextPage += count;
      this.#asked.push({ first, count });
      const hashes = pageHashes(this.#file!.read(first, count), pageBytes);
      this.#send({ type: "compare", first, count, hashes });
    }
    if (this.#asked.length > 0 || this.#isFinishing) return;
    this.#isFinishing = true;
    this.#send({ type: "finish" });
  }

  #write({ first, present, offsets, bytes }: Pages): void {
    const channel = this.#channel!;
    const asked = this.#asked.shift();
    const pageBytes = this.#offer?.pageBytes ?? 0;
    const isAnswer = asked !== undefined && first === asked.first && present <= asked.count &&
      bytes.length === offsets.length * pageBytes;
    if (!isAnswer) return channel.violation(`Pages from page ${first} on, which nobody asked for`);
    const file = this.#file!;
    if (present < asked.count) file.cut(first - 1 + present);
    file.write(first, offsets, bytes);
    this.#writtenPages += offsets.length;
    this.#noteWritten(offsets.length);
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes >= SNAPSHOT_SYNC_BYTES) this.#sync();
    this.#askOn();
  }

  #complete(end: End): void {
    if (!this.#isFinishing || this.#end !== undefined) {
      return this.#channel!.violation("An end that nobody asked for");
    }
    this.#end = end;
    this.#file!.resize(end.pages);
    this.#channel!.end();
    this.#sync();
  }

  /** Makes durable what was written, without holding up the thread. */
  #sync(): void {
    if (this.#isSyncing) return;
    this.#isSyncing = true;
    // What is written while it is under way may be left out, and needs another one.
    const isLast = this.#end !== undefined;
    this.#unsyncedBytes = 0;
    this.#file!.syncLater((error) => {
      this.#isSyncing = false;
      if (this.#isOver) return;
      this.#movedMs = this.#options.clock.nowMs();
      if (error !== undefined) this.#fail(error.message);
      else if (isLast) this.#done();
      else if (this.#end !== undefined) this.#attempt(() => this.#sync());
      else this.#attempt(() => this.#askOn());
    });
  }

  #done(): void {
    const { base, pages } = this.#offer!;
    const { log, clock } = this.#options;
    this.cancel();
    log.info("took a snapshot", {
      from: this.#from,
      index: base.index,
      fuzzyIndex: this.#end!.fuzzyIndex,
      pages,
      writtenPages: this.#writtenPages,
      receivedBytes: this.#receivedBytes,
      durationMs: Math.round(clock.nowMs() - this.#startMs),
    });
    this.#receiver.done(this.#end!.fuzzyIndex);
  }

  #send(request: PageRequest): void {
    this.#channel!.write(pageRequestBytes(request));
  }

  /** A disk that refuses ends the attempt, not the node: another one may do. */
  #attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      this.#fail(messageOf(error));
    }
  }

  /** Gives up on a node that says nothing any more. */
  #watch(): void {
    const { clock } = this.#options;
    this.#cancelWatch = clock.after(SNAPSHOT_STALL_MS / 4, () => {
      const quietMs = clock.nowMs() - this.#movedMs;
      const isOurs = this.#offer !== undefined && this.#file === undefined;
      if (isOurs || quietMs < SNAPSHOT_STALL_MS) this.#watch();
      else this.#fail(`nothing came for ${Math.round(quietMs)} ms`);
    });
  }
}
