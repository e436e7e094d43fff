/**
 * A state machine that behaves as the one over SQLite does, over the pages of `pages.ts`: local
 * transactions run at once and are captured, waiting ones merge when they are drained, what was not
 * committed is rewound, and a checkpoint copies the pages into a file that a crash may leave mixed.
 */
import { assert } from "../../lib/base/assert.ts";
import type { LogIndex, SnapshotBase } from "../../lib/raft/types.ts";
import {
  type CheckpointRecord,
  mendCheckpoint,
  writeCheckpoint,
} from "../../lib/replica/checkpoint_record.ts";
import type { Captured, CommittedSeqs, EarlierPayload } from "../../lib/replica/state_machine.ts";
import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import type {
  Databases,
  MachineOptions,
  Mode,
  PageCopy,
  PageTransfer,
  SimulatedMachine,
} from "./database.ts";
import { decodeCommand, encodeCommand, PageReference, PAGES, Pages, type Part } from "./pages.ts";

/** Size of a page in the database file: one sector, so that a crash may mix pages. */
const PAGE_BYTES = 512;
/** Pages that a snapshot copies at once. */
const CHUNK_PAGES = 2;

const DATABASES: Databases = {
  creation: encodeCommand({ type: "create" }, new Uint8Array(0)),
  newReference: () => new PageReference(),
  newMachine: (options) => new PageMachine(options),
  atEnd: () => {},
  close: () => {},
};

/** Databases of a few pages. */
export const PAGES_MODE: Mode = { settings: (drawn) => drawn, open: () => DATABASES };

interface Transaction {
  readonly seq: number;
  readonly id: number;
  readonly changed: readonly number[];
  /** The pages before it ran. */
  readonly before: Pages;
}

/** See the file comment. */
class PageMachine implements SimulatedMachine {
  readonly #options: MachineOptions;
  readonly #path: string;
  #record: CheckpointRecord;
  #pages: Pages | undefined;
  #leading = false;
  #seq = 0;
  #releasedSeq = 0;
  /** Local transactions that are not released, oldest first. */
  #local: Transaction[] = [];
  /** How many of `#local` were drained. */
  #drained = 0;
  #parts: Captured[] = [];
  /** The batch that is being applied: what is left of it, and the pages so far. */
  #batch: { readonly index: LogIndex; readonly parts: Part[]; readonly pages: Pages } | undefined;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#path = `${options.folder}/main.db`;
    this.#record = mendCheckpoint(options.disk, options.folder).record;
    if (this.#record.completeIndex > 0) this.#pages = this.#read();
  }

  get checkpointIndex(): LogIndex {
    return this.#record.completeIndex;
  }

  get consistentIndex(): LogIndex {
    return this.#record.fuzzyIndex;
  }

  get installing(): boolean {
    return this.#record.installing === true;
  }

  get installed(): SnapshotBase | undefined {
    return this.#record.installed;
  }

  get diverged(): LogIndex | undefined {
    return this.#record.diverged;
  }

  markDiverged(index: LogIndex): void {
    this.#write({ ...this.#record, diverged: index });
  }

  get transfer(): PageTransfer {
    return {
      chunks: PAGES / CHUNK_PAGES,
      read: (chunk) => {
        const file = this.#options.disk.open(this.#path, { create: false });
        try {
          return file.read(chunk * CHUNK_PAGES * PAGE_BYTES, CHUNK_PAGES * PAGE_BYTES);
        } finally {
          file.close();
        }
      },
      write: (chunk, bytes) => {
        assert(this.installing && this.#pages === undefined, "pages of a database in use");
        const file = this.#options.disk.open(this.#path, { create: true });
        try {
          file.write(chunk * CHUNK_PAGES * PAGE_BYTES, bytes);
        } finally {
          file.close();
        }
      },
    };
  }

  beginInstall(): void {
    assert(!this.#leading && this.#local.length === 0, "a leader takes a snapshot");
    const { diverged } = this.#record;
    this.#write({ completeIndex: 0, fuzzyIndex: 0, installing: true, diverged });
    this.#pages = undefined;
    this.#batch = undefined;
  }

  completeInstall(base: SnapshotBase, fuzzyIndex: LogIndex): void {
    this.#sync();
    this.#options.disk.syncFolder(this.#options.folder);
    this.#write({ completeIndex: base.index, fuzzyIndex, installed: base });
    this.#pages = this.#read();
  }

  partOf(payload: Uint8Array): { readonly first: boolean; readonly last: boolean } {
    const command = decodeCommand(payload);
    return command.type === "create" ? { first: true, last: true } : command;
  }

  get exists(): boolean {
    return this.#pages !== undefined;
  }

  get content(): Pages {
    return this.#opened;
  }

  get #opened(): Pages {
    assert(this.#pages !== undefined, "the database does not exist yet");
    return this.#pages;
  }

  read(): Pages {
    return this.content;
  }

  begin(): boolean {
    return false;
  }

  write(id: number): number | undefined {
    if (!this.#leading) return undefined;
    const before = this.#opened.copy();
    const changed = this.#opened.run(id);
    this.#seq++;
    this.#local.push({ seq: this.#seq, id, changed, before });
    return this.#seq;
  }

  lastSeq(): number {
    return this.#seq;
  }

  releasedSeq(): number {
    return this.#releasedSeq;
  }

  apply(index: LogIndex, payload: Uint8Array, earlier: EarlierPayload): boolean {
    assert(!this.#leading && this.#local.length === 0, `entry ${index} applied while leading`);
    this.#options.events.applying(index);
    const command = decodeCommand(payload);
    if (command.type === "create") this.#create(index);
    else if (command.last) return this.#applyBatch(index, command, earlier);
    return true;
  }

  lead(): void {
    assert(this.#local.length === 0, "transactions of an earlier office are left");
    assert(this.#batch === undefined, "leads in the middle of a batch");
    assert(this.exists, "leads without a database");
    this.#leading = true;
    this.#parts = [];
    this.#releasedSeq = this.#seq;
  }

  follow(): void {
    assert(this.exists, "there is no database");
    this.#leading = false;
    this.#parts = [];
  }

  captured(): void {}

  drain(): Captured | undefined {
    assert(this.#leading, "drained while not leading");
    if (this.#parts.length === 0) this.#parts = this.#nextBatch();
    return this.#parts.shift();
  }

  release(_id: number, seq: number): void {
    if (seq === this.#releasedSeq) return;
    assert(this.#leading, "released while not leading");
    assert(seq > this.#releasedSeq, `release goes back from ${this.#releasedSeq} to ${seq}`);
    this.#releasedSeq = seq;
    const kept = this.#local.findIndex((transaction) => transaction.seq > seq);
    const count = kept === -1 ? this.#local.length : kept;
    this.#local.splice(0, count);
    this.#drained = Math.max(0, this.#drained - count);
    this.#options.events.released(this.#local[0]?.before ?? this.#opened);
  }

  rewind(committed: CommittedSeqs): boolean {
    assert(!this.#leading, "rewound while leading");
    const seq = committed(MAIN_DATABASE_ID) ?? this.#releasedSeq;
    const { world, settings } = this.#options;
    if (world.chance(settings.rewindBusyPermille)) {
      this.#options.events.rewindDelayed();
      return false;
    }
    assert(seq >= this.#releasedSeq, `${seq} is rewound, ${this.#releasedSeq} is released`);
    const first = this.#local.find((transaction) => transaction.seq > seq);
    const ids = this.#local.filter((one) => one.seq > seq).map(({ id }) => id);
    if (first !== undefined) this.#pages = first.before;
    this.#local = [];
    this.#drained = 0;
    this.#releasedSeq = seq;
    this.#options.events.rewound(ids);
    this.#options.events.released(this.#opened);
    return true;
  }

  beginCheckpoint(index: LogIndex): void {
    this.#write({ completeIndex: this.#record.completeIndex, fuzzyIndex: index });
  }

  /** Neither half is durable when it is written; what is not released stays out of the file. */
  beginCopy(): PageCopy {
    const pages = (this.#local[0]?.before ?? this.#opened).copy();
    return {
      first: () => this.#copy(pages, 0, PAGES / 2),
      second: () => this.#copy(pages, PAGES / 2, PAGES),
      complete: true,
    };
  }

  completeCheckpoint(index: LogIndex): void {
    this.#sync();
    this.#write({ completeIndex: index, fuzzyIndex: index });
  }

  retire(): void {}

  letGo(): void {}

  end(): void {}

  #copy(pages: Pages, from: number, to: number): void {
    const file = this.#options.disk.open(this.#path, { create: false });
    try {
      for (let page = from; page < to; page++) {
        file.write(page * PAGE_BYTES, pageBytes(pages, page));
      }
    } finally {
      file.close();
    }
  }

  #sync(): void {
    const file = this.#options.disk.open(this.#path, { create: false });
    try {
      file.sync();
    } finally {
      file.close();
    }
  }

  #write(record: CheckpointRecord): void {
    writeCheckpoint(this.#options.disk, this.#options.folder, record);
    this.#record = record;
  }

  #create(index: LogIndex): void {
    assert(this.#pages === undefined, `database created twice, again at ${index}`);
    const { disk, folder } = this.#options;
    if (disk.exists(this.#path)) this.#options.events.createdAgain();
    const pages = new Pages();
    const file = disk.open(this.#path, { create: true });
    try {
      for (let page = 0; page < PAGES; page++) {
        file.write(page * PAGE_BYTES, pageBytes(pages, page));
      }
      file.truncate(PAGES * PAGE_BYTES);
      file.sync();
    } finally {
      file.close();
    }
    disk.syncFolder(folder);
    this.#write({ completeIndex: index, fuzzyIndex: index });
    this.#pages = pages;
  }

  #read(): Pages {
    const pages = new Pages();
    const file = this.#options.disk.open(this.#path, { create: false });
    try {
      for (let page = 0; page < PAGES; page++) {
        const view = new DataView(file.read(page * PAGE_BYTES, 8).buffer);
        pages.set(page, [view.getUint32(0, true), view.getUint32(4, true)]);
      }
    } finally {
      file.close();
    }
    return pages;
  }

  /** Applies the next part of a batch; nothing is to be seen before the last one is. */
  #applyBatch(index: LogIndex, last: Part, earlier: EarlierPayload): boolean {
    this.#batch ??= { index, parts: partsOf(index, last, earlier), pages: this.#opened.copy() };
    const { parts, pages } = this.#batch;
    assert(this.#batch.index === index, `entry ${index} in the middle of ${this.#batch.index}`);
    const part = parts.shift();
    assert(part !== undefined, `the batch that ends at ${index} was applied already`);
    for (const [page, a, b] of part.pages) pages.set(page, [a, b]);
    if (parts.length > 0) {
      this.#options.events.batchInParts(parts.length + 1);
      return false;
    }
    this.#pages = pages;
    this.#batch = undefined;
    return true;
  }

  /** Everything that waits, as one batch: each page once, as the last transaction left it. */
  #nextBatch(): Captured[] {
    const waiting = this.#local.slice(this.#drained);
    const lastTransaction = waiting.at(-1);
    if (lastTransaction === undefined) return [];
    this.#drained = this.#local.length;
    this.#options.events.merged(waiting.length);
    const changed = new Set(waiting.flatMap((transaction) => transaction.changed));
    const ids = waiting.map(({ id }) => id);
    const pages = [...changed].sort((a, b) => a - b).map((page) => {
      return [page, ...this.#opened.page(page)] as const;
    });
    const { partItemsMax } = this.#options.settings;
    const parts: Captured[] = [];
    for (let first = true; first || ids.length + pages.length > 0; first = false) {
      const idsOfPart = ids.splice(0, partItemsMax);
      const pagesOfPart = pages.splice(0, partItemsMax - idsOfPart.length);
      const last = ids.length + pages.length === 0;
      const part = { type: "part", first, last, ids: idsOfPart, pages: pagesOfPart } as const;
      const payload = encodeCommand(part, this.#filler());
      parts.push({
        databaseId: MAIN_DATABASE_ID,
        payload,
        complete: last,
        seq: lastTransaction.seq,
      });
    }
    return parts;
  }

  /** Makes a payload longer. */
  #filler(): Uint8Array {
    const { world, settings } = this.#options;
    const filler = new Uint8Array(world.below(settings.fillerBytesMax + 1));
    return settings.fillerZeros ? filler : filler.fill(1 + world.below(255));
  }
}

function pageBytes(pages: Pages, page: number): Uint8Array {
  const bytes = new Uint8Array(PAGE_BYTES);
  const view = new DataView(bytes.buffer);
  const [a, b] = pages.page(page);
  view.setUint32(0, a, true);
  view.setUint32(4, b, true);
  return bytes;
}

/** All parts of the batch that ends at `index`. */
function partsOf(index: LogIndex, last: Part, earlier: EarlierPayload): Part[] {
  const parts = [last];
  for (let at = index - 1; !parts[0]!.first; at--) {
    assert(at > 0, `the batch that ends at ${index} has no first part`);
    const payload = earlier(at);
    if (payload === undefined) continue;
    const command = decodeCommand(payload);
    assert(command.type === "part" && !command.last, `entry ${at} is no part of a batch`);
    parts.unshift(command);
  }
  return parts;
}
