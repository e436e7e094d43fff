/**
 * The taking end of a snapshot on the network: dials the node that offered one, and brings the
 * database files, one after another, page by page to what is there. A file itself says how far an
 * attempt came that was cut off: pages that are there already do not travel again.
 */
import { AssertionError } from "../base/assert.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { PAGE_REQUESTS_MAX, PAGE_RESPONSE_BYTES_MAX } from "../base/limits.ts";
import { SNAPSHOT_STALL_MS } from "../base/limits.ts";
import { parseAddress } from "../io/address.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import type { Network } from "../io/network.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex, NodeId } from "../raft/types.ts";
import { databasePath, databasesFolder } from "../replica/database_paths.ts";
import type { SnapshotEdge, SnapshotReceiver } from "../replica/snapshot_install.ts";
import type { Channel } from "../transport/channel.ts";
import { dial } from "../transport/dial.ts";
import { helloOf } from "../transport/handshake.ts";
import type { Identity } from "../transport/types.ts";
import type { Frame } from "../wire/frame.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import {
  decodePageResponse,
  type PageRequest,
  pageRequestBytes,
  type PageResponse,
} from "../wire/pages.ts";
import { type FileShape, TakenFile } from "./taken_file.ts";

/** What taking needs. */
export interface SnapshotTakerOptions {
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
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

/** What an answer is about. */
type Asked =
  | { readonly type: "compare"; readonly file: TakenFile; readonly first: number; count: number }
  | { readonly type: "open"; readonly databaseId: number };

/** One attempt. */
class Taking {
  readonly #options: SnapshotTakerOptions;
  readonly #from: NodeId;
  readonly #least: LogIndex;
  readonly #receiver: SnapshotReceiver;
  readonly #noteWritten: (pages: number) => void;
  #channel: Channel | undefined;
  #offer: Offer | undefined;
  /** The first database, until the end. */
  #main: TakenFile | undefined;
  /** The one whose pages are asked for; undefined while the next one is to be opened. */
  #current: TakenFile | undefined;
  /** Databases that come after it. */
  #waiting: number[] = [];
  /** Answers that are to come, in order. */
  readonly #asked: Asked[] = [];
  /** Files that are not durable yet. */
  readonly #open = new Set<TakenFile>();
  #end: End | undefined;
  #isFinishing = false;
  #isOver = false;
  readonly #startMs: number;
  #movedMs: number;
  #receivedBytes = 0;
  /** Pages that the files have over there. */
  #pages = 0;
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
    for (const file of this.#open) file.close();
    this.#open.clear();
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
      case "file":
        return this.#opened(response);
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

  /** The databases are given up: their files may be overwritten. */
  #copy(offer: Offer): void {
    const { disk, folder, clock } = this.#options;
    this.#movedMs = clock.nowMs();
    this.#main = this.#current = this.#openFile(MAIN_DATABASE_ID, offer);
    const others = offer.databases?.databases ?? [];
    this.#waiting = others.map(({ id }) => id).filter((id) => id !== MAIN_DATABASE_ID);
    if (this.#waiting.length > 0) disk.createFolder(databasesFolder(folder));
    this.#askOn();
  }

  #openFile(databaseId: number, shape: FileShape): TakenFile {
    const { disk, folder } = this.#options;
    const file = new TakenFile(disk, databasePath(folder, databaseId), shape);
    this.#open.add(file);
    this.#pages += shape.pages;
    return file;
  }

  /** Asks for the next ranges, as far as the disk keeps up. */
  #askOn(): void {
    while (this.#asked.length < PAGE_REQUESTS_MAX && this.#current !== undefined) {
      const file = this.#current;
      if (!file.isReady) return;
      const request = file.next();
      if (request === undefined) {
        this.#openNext();
        break;
      }
      this.#asked.push({ type: "compare", file, first: request.first, count: request.count });
      this.#send(request);
    }
    if (this.#asked.length > 0 || this.#isFinishing) return;
    this.#isFinishing = true;
    this.#send({ type: "finish" });
  }

  /** All of a file was asked for: goes on with the next one, if there is any. */
  #openNext(): void {
    this.#current = undefined;
    const databaseId = this.#waiting.shift();
    if (databaseId === undefined) return;
    this.#asked.push({ type: "open", databaseId });
    this.#send({ type: "open", databaseId });
  }

  #opened(shape: PageResponse & { type: "file" }): void {
    const asked = this.#asked.shift();
    if (asked?.type !== "open") return this.#channel!.violation("A file that nobody asked for");
    this.#current = this.#openFile(asked.databaseId, shape);
    this.#askOn();
  }

  #write({ first, present, offsets, bytes }: Pages): void {
    const asked = this.#asked.shift();
    const isAnswer = asked?.type === "compare" && first === asked.first &&
      present <= asked.count && bytes.length === offsets.length * asked.file.pageBytes;
    if (!isAnswer) {
      return this.#channel!.violation(`Pages from page ${first} on, which nobody asked for`);
    }
    const { file } = asked;
    const isMuch = file.write(asked, present, offsets, bytes);
    this.#writtenPages += offsets.length;
    this.#noteWritten(offsets.length);
    if (first + asked.count > file.pages && file !== this.#main) {
      file.complete(undefined);
      this.#sync(file);
    } else if (isMuch) this.#sync(file);
    this.#askOn();
  }

  #complete(end: End): void {
    if (!this.#isFinishing || this.#end !== undefined) {
      return this.#channel!.violation("An end that nobody asked for");
    }
    this.#end = end;
    this.#channel!.end();
    this.#main!.complete(end.pages);
    this.#sync(this.#main!);
  }

  /** Makes durable what was written; what is whole and durable is closed. */
  #sync(file: TakenFile): void {
    file.sync((error, isWhole) => {
      if (this.#isOver) return;
      this.#movedMs = this.#options.clock.nowMs();
      if (error !== undefined) return this.#fail(error.message);
      if (isWhole) {
        this.#open.delete(file);
        file.close();
      }
      if (this.#end === undefined) this.#attempt(() => this.#askOn());
      else if (this.#open.size === 0) this.#done();
    });
  }

  #done(): void {
    const { base, databases } = this.#offer!;
    const { log, clock } = this.#options;
    this.cancel();
    log.info("took a snapshot", {
      from: this.#from,
      index: base.index,
      fuzzyIndex: this.#end!.fuzzyIndex,
      databases: databases?.databases.length ?? 1,
      pages: this.#pages,
      writtenPages: this.#writtenPages,
      receivedBytes: this.#receivedBytes,
      durationMs: Math.round(clock.nowMs() - this.#startMs),
    });
    this.#receiver.done(this.#end!.fuzzyIndex, databases);
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
      const isOurs = this.#offer !== undefined && this.#main === undefined;
      if (isOurs || quietMs < SNAPSHOT_STALL_MS) this.#watch();
      else this.#fail(`nothing came for ${Math.round(quietMs)} ms`);
    });
  }
}
