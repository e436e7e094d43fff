/**
 * Puts what is committed into the archive, in order. Several nodes may do so at once, when one does
 * not know yet that it leads no more: both then put the same entries there, cut in other ways, and
 * whoever reads takes either. So nothing depends on who is first, and no object is ever changed.
 */
import { DatabaseError } from "../base/errors.ts";
import { ARCHIVE_OBJECT_ENTRIES_MAX, ARCHIVE_READ_BYTES } from "../base/limits.ts";
import type { RaftLog } from "../log/types.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import { encodeEntries, encodeEntriesHead, type EntriesHead } from "../wire/archive.ts";
import { entriesKey } from "../wire/archive_keys.ts";
import { type Chain, chainEquals, chainNext } from "../wire/chain.ts";
import { decodeCommand } from "../wire/command.ts";
import { entryBody, entryHead, entrySizeBytes } from "../wire/entry.ts";
import type { Catalog } from "./catalog.ts";
import { sealObject } from "./object.ts";
import { LOG_START } from "./run.ts";
import type { ArchiveTail } from "./tail.ts";

/** What shipping needs. */
export interface LogShipperOptions {
  readonly catalog: Catalog;
  readonly tail: ArchiveTail;
  readonly log: Pick<RaftLog, "baseIndex" | "baseAt" | "entries">;
  /** The last entry that is committed, and applied and durable here. */
  readonly settledIndex: () => LogIndex;
  /** Lets others go on for a moment. */
  readonly turn: () => Promise<void>;
  /** The archive ends before the log begins: the entries from `first` to `last` are in neither. */
  readonly onGap: (first: LogIndex, last: LogIndex) => void;
  /** The log cannot be read. */
  readonly onFatal: (error: unknown) => void;
  readonly objectBytesMax: number;
}

interface Place {
  readonly index: LogIndex;
  readonly chain: Chain;
  readonly timeMs: number;
}

interface Taken {
  readonly entries: Entry[];
  readonly head: EntriesHead;
  /** Whether there is more that did not fit. */
  readonly isFull: boolean;
}

/** The latest time of a command, once this entry is added. */
export function timeAfter(timeMs: number, entry: Entry): number {
  if (entry.type !== "command") return timeMs;
  const command = decodeCommand(entry.payload);
  return command.type === "frames" ? Math.max(timeMs, command.wallMs ?? 0) : timeMs;
}

/** The chain, once this entry is added. */
export function chainAfter(chain: Chain, entry: Entry): Chain {
  return chainNext(chain, entryHead(entry, entryBody(entry)));
}

/** See the file comment. */
export class LogShipper {
  readonly #options: LogShipperOptions;

  constructor(options: LogShipperOptions) {
    this.#options = options;
  }

  /**
   * Puts the next entries into the archive, as many as there are or fit an object. The tail must
   * know the archive as it was once this node led.
   *
   * @returns Whether there is more.
   * @throws {DatabaseError} as the store does; `DATA_FOLDER` when another history is there.
   */
  async ship(): Promise<boolean> {
    const { catalog, tail } = this.#options;
    const { clusterId, store } = catalog;
    const taken = await this.#take(this.#place());
    if (taken === undefined) return false;
    const { head, entries, isFull } = taken;
    const { bytes } = await sealObject({
      kind: "entries",
      clusterId,
      head: encodeEntriesHead(head),
      body: encodeEntries(entries, head.sizeBytes),
    });
    await store.put(entriesKey(clusterId, head), bytes);
    tail.added(head, bytes.length);
    return isFull;
  }

  /** Where the archive goes on. */
  #place(): Place {
    const { catalog, tail, log, onGap } = this.#options;
    const { run } = tail;
    if (run !== undefined && run.last >= log.baseIndex) {
      const own = log.baseAt(run.last);
      if (own === undefined || !chainEquals(own.chain, run.chain)) {
        throw otherHistory(catalog, run.last);
      }
      return { index: run.last, chain: run.chain, timeMs: run.timeMs };
    }
    if (run === undefined && log.baseIndex === 0) return { ...LOG_START, timeMs: 0 };
    if (run !== undefined) {
      onGap(run.last + 1, log.baseIndex);
      tail.beginRun();
    }
    const { index, chain } = log.baseAt(log.baseIndex)!;
    return { index, chain, timeMs: run?.timeMs ?? 0 };
  }

  async #take(place: Place): Promise<Taken | undefined> {
    const { settledIndex, turn, objectBytesMax } = this.#options;
    const untilIndex = settledIndex();
    const entries: Entry[] = [];
    let { index, chain, timeMs } = place;
    let sizeBytes = 0;
    let isFull = false;
    while (index < untilIndex && !isFull) {
      if (entries.length > 0) await turn();
      const slice = this.#read(index + 1, untilIndex);
      // The log was cut meanwhile: the next attempt finds the gap.
      if (slice === undefined) return undefined;
      for (const entry of slice) {
        const entryBytes = entrySizeBytes(entry);
        isFull = entries.length >= ARCHIVE_OBJECT_ENTRIES_MAX ||
          (entries.length > 0 && sizeBytes + entryBytes > objectBytesMax);
        if (isFull) break;
        entries.push(entry);
        sizeBytes += entryBytes;
        index = entry.index;
        chain = chainAfter(chain, entry);
        timeMs = timeAfter(timeMs, entry);
      }
    }
    if (entries.length === 0) return undefined;
    const head: EntriesHead = {
      first: place.index + 1,
      last: index,
      timeBeforeMs: place.timeMs,
      timeAfterMs: timeMs,
      chainBefore: place.chain,
      chainAfter: chain,
      sizeBytes,
    };
    return { entries, head, isFull };
  }

  #read(first: LogIndex, last: LogIndex): readonly Entry[] | undefined {
    try {
      return this.#options.log.entries(first, last, ARCHIVE_READ_BYTES);
    } catch (error) {
      this.#options.onFatal(error);
      throw error;
    }
  }
}

function otherHistory({ store, clusterId }: Catalog, index: LogIndex): DatabaseError {
  return new DatabaseError(
    "DATA_FOLDER",
    `${store.where} holds another history of the cluster ${clusterId} up to entry ${index}`,
    {
      hint: "The nodes were put back to an older state by other means than dqlite restore: " +
        "archive to another place, and keep the old one to restore from",
    },
  );
}
