/**
 * Which point of an archive is meant, and from where it is rebuilt. A point that lies in a gap, or
 * behind the end, is refused: what is restored is what was committed then, or nothing.
 */
import { DatabaseError } from "../base/errors.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import { decodeEntries, decodeEntriesHead } from "../wire/archive.ts";
import type { BaseObject, Catalog, EntriesObject } from "./catalog.ts";
import { timeAfter } from "./log_shipper.ts";
import { openObject, parse } from "./object.ts";
import { type Point, timeText } from "./point.ts";
import { continuationOf, LOG_START, type Position } from "./run.ts";

/** How a point is rebuilt. */
export interface Plan {
  /** The point is the database after this entry. */
  readonly index: LogIndex;
  /** Where rebuilding may begin, the best first; undefined stands for the first entry of all. */
  readonly starts: readonly (BaseObject | undefined)[];
}

/**
 * Finds out what the point is.
 *
 * @throws {DatabaseError} `CONFIG` when it comes before the first point or behind the last one,
 * `CORRUPT` when objects are missing on the way to it.
 */
export async function planOf(catalog: Catalog, point: Point): Promise<Plan> {
  const bases = await catalog.bases();
  const fits = (base: BaseObject) =>
    point.type === "latest" ||
    (point.type === "time" ? base.timeMs <= point.timeMs : base.fuzzyIndex <= point.index);
  const starts: (BaseObject | undefined)[] = bases.filter(fits).reverse();
  if (await hasFirstEntry(catalog)) starts.push(undefined);
  if (starts.length === 0) throw tooEarly(catalog, bases[0]);
  return { index: await indexOf(catalog, point, starts[0]), starts };
}

/**
 * The objects that lead from one place to an entry, in order.
 *
 * @throws {DatabaseError} `CORRUPT` when entries are missing in between, `CONFIG` when the archive
 * ends before.
 */
export async function* objectsBetween(
  catalog: Catalog,
  from: Position,
  last: LogIndex,
): AsyncGenerator<EntriesObject> {
  let at = from;
  let laterFirst: LogIndex | undefined;
  if (at.index >= last) return;
  for await (const object of catalog.entriesFrom(from.index + 1)) {
    const how = continuationOf(object, at);
    if (how === "later") laterFirst = object.first;
    if (how === "later") break;
    if (how !== "continues") continue;
    yield object;
    at = { index: object.last, chain: object.chainAfter };
    if (at.index >= last) return;
  }
  if (laterFirst !== undefined) throw gap(catalog, at.index + 1, laterFirst - 1);
  if (last !== Infinity) throw tooLate(catalog, `entry ${last}`, at.index, undefined);
}

async function hasFirstEntry(catalog: Catalog): Promise<boolean> {
  for await (const { first } of catalog.entriesFrom(1)) return first === 1;
  return false;
}

async function indexOf(
  catalog: Catalog,
  point: Point,
  start: BaseObject | undefined,
): Promise<LogIndex> {
  if (point.type === "index") return point.index;
  const from = startOf(start);
  let last: EntriesObject | undefined;
  for await (const object of objectsBetween(catalog, from, Infinity)) {
    last = object;
    if (point.type === "time" && object.timeAfterMs > point.timeMs) {
      return await entryAt(catalog, object, point.timeMs);
    }
  }
  const lastIndex = last?.last ?? from.index;
  const timeMs = Math.max(last?.timeAfterMs ?? 0, start?.timeMs ?? 0);
  if (point.type === "latest" || point.timeMs === timeMs) return lastIndex;
  throw tooLate(catalog, timeText(point.timeMs), lastIndex, timeMs);
}

/** The last entry of an object that had come about at a time. */
async function entryAt(
  catalog: Catalog,
  { key }: EntriesObject,
  timeMs: number,
): Promise<LogIndex> {
  const place = { ...catalog, key };
  const { head: headBytes, body } = await openObject(place, "entries");
  const head = parse(place, () => decodeEntriesHead(headBytes));
  const entries: Entry[] = parse(place, () => decodeEntries(head, body));
  let latestMs = head.timeBeforeMs;
  for (const entry of entries) {
    const afterMs = timeAfter(latestMs, entry);
    if (afterMs <= timeMs) {
      latestMs = afterMs;
      continue;
    }
    if (latestMs > 0) return entry.index - 1;
    throw new DatabaseError(
      "CONFIG",
      `The first transaction that ${catalog.store.where} knows the time of is of ${
        timeText(afterMs)
      }`,
      { hint: "Name that time, or a later one; --list shows all" },
    );
  }
  return head.last;
}

/** Where rebuilding begins. The chain of a base is not known before it is read. */
export function startOf(start: BaseObject | undefined): Position {
  return start === undefined ? LOG_START : { index: start.index, chain: undefined };
}

function gap({ store }: Catalog, first: LogIndex, last: LogIndex): DatabaseError {
  return new DatabaseError(
    "CORRUPT",
    `${store.where} lacks the entries ${first} to ${last}: no object holds them`,
    {
      hint: `--at ${first - 1} restores what comes before; --list shows what else can be restored`,
    },
  );
}

function tooEarly({ store }: Catalog, first: BaseObject | undefined): DatabaseError {
  const message = first === undefined
    ? `${store.where} has nothing that can be restored yet`
    : `The first point of ${store.where} is entry ${first.fuzzyIndex}, of ${
      timeText(first.timeMs)
    }`;
  return new DatabaseError("CONFIG", message, {
    ...(first === undefined ? {} : { hint: "--list shows what can be restored" }),
  });
}

function tooLate(
  { store }: Catalog,
  what: string,
  index: LogIndex,
  timeMs: number | undefined,
): DatabaseError {
  const time = timeMs === undefined || timeMs === 0 ? "" : `, of ${timeText(timeMs)}`;
  return new DatabaseError(
    "CONFIG",
    `${store.where} ends at entry ${index}${time}; it does not know of ${what}`,
    { hint: "--at latest restores what it has" },
  );
}
