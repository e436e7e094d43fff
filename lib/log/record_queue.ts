import { LOG_BATCH_BYTES_MAX } from "../base/limits.ts";
import { recordSizeBytes } from "../wire/record.ts";
import { batchSizeBytes, bodySizeBytes, type NewRecord } from "./batch.ts";

type Item =
  | NewRecord
  | { readonly type: "done"; readonly done: () => void }
  | { readonly type: "recovered" };

/** What one write takes. */
export interface Taken {
  readonly records: readonly NewRecord[];
  /** To be called once the records are durable. */
  readonly dones: readonly (() => void)[];
  /** Instead of records: the slots are to say that the log is whole again. */
  readonly recovered: boolean;
}

/** Records that wait to be written, and the calls that are due between them. */
export class RecordQueue {
  #items: Item[] = [];
  #sizeBytes = 0;

  /** Size of the records that wait. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get length(): number {
    return this.#items.length;
  }

  push(record: NewRecord): void {
    this.#items.push(record);
    this.#sizeBytes += recordSizeBytes(bodySizeBytes(record));
  }

  pushDone(done: () => void): void {
    this.#items.push({ type: "done", done });
  }

  /** What comes after this waits until the slots say that the log is whole again. */
  pushRecovered(): void {
    this.#items.push({ type: "recovered" });
  }

  clear(): void {
    this.#items = [];
    this.#sizeBytes = 0;
  }

  /**
   * Takes as many records as make one batch, with the calls that become due with them; undefined
   * when not even the first one may go there. A reset is the first record of its segment, so that
   * the log can be read from there, whatever the segments before it hold.
   *
   * @param freeBytes What is left of the segment.
   * @param commandBytes What commands may use of that; the other records are few and small.
   * @param fresh Whether the segment holds no record yet.
   */
  take(freeBytes: number, commandBytes: number, fresh: boolean): Taken | undefined {
    const records: NewRecord[] = [];
    const dones: (() => void)[] = [];
    let bytes = 0;
    let runs = 0;
    let items = 0;
    let previous: NewRecord | undefined;
    if (this.#items[0]?.type === "recovered") {
      this.#items.shift();
      return { records, dones, recovered: true };
    }
    for (const item of this.#items) {
      if (item.type === "recovered") break;
      if (item.type === "done") dones.push(item.done);
      else {
        if (item.type === "reset" && (!fresh || records.length > 0)) break;
        const size = recordSizeBytes(bodySizeBytes(item));
        const runsThen = runs + (startsRun(previous, item) ? 1 : 0);
        const total = batchSizeBytes(bytes + size, runsThen);
        // A single record may be larger than the bound, never larger than the segment.
        const allowed = isCommand(item) ? commandBytes : freeBytes;
        if (total > allowed || (total > LOG_BATCH_BYTES_MAX && records.length > 0)) break;
        bytes += size;
        runs = runsThen;
        if (item.type === "entry") previous = item;
        records.push(item);
      }
      items++;
    }
    if (items === 0) return undefined;
    this.#items.splice(0, items);
    this.#sizeBytes -= bytes;
    return { records, dones, recovered: false };
  }
}

function isCommand(record: NewRecord): boolean {
  return record.type === "entry" && record.entry.type === "command";
}

function startsRun(previous: NewRecord | undefined, record: NewRecord): boolean {
  if (record.type !== "entry") return false;
  if (previous?.type !== "entry") return true;
  return previous.entry.term !== record.entry.term ||
    previous.entry.index + 1 !== record.entry.index;
}
