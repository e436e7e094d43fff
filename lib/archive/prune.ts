/**
 * Gives up what is older than the points that are to be kept. What goes first is what makes others
 * count, and the log goes from its beginning on, so that a prune may be cut off anywhere.
 */
import { ARCHIVE_ORPHAN_MS } from "../base/limits.ts";
import { entriesPrefix, pagesPrefix, parsePagesKey } from "../wire/archive_keys.ts";
import { baseTimeMs } from "./base_id.ts";
import type { BaseObject, Catalog } from "./catalog.ts";

/** What went. */
export interface Pruned {
  readonly objects: number;
  /** What is left begins with this base. */
  readonly base: BaseObject | undefined;
}

/**
 * Prunes, so that every point from `keepFromMs` on can still be restored.
 *
 * @param nowMs Both are in milliseconds since 1970.
 * @throws {DatabaseError} as the store does.
 */
export async function prune(
  catalog: Catalog,
  keepFromMs: number,
  nowMs: number,
): Promise<Pruned> {
  const { store, clusterId } = catalog;
  const bases = await catalog.bases();
  const base = bases.findLast(({ timeMs }) => timeMs <= keepFromMs);
  let objects = 0;
  const remove = async (key: string) => {
    await store.remove(key);
    objects++;
  };
  const old = base === undefined ? [] : bases.filter(({ index }) => index < base.index);
  for (const { key } of old) await remove(key);
  const known = new Set(bases.filter((one) => !old.includes(one)).map(({ id }) => id));
  for await (const { key } of store.list(pagesPrefix(clusterId))) {
    const id = parsePagesKey(key)?.baseId;
    // Those of a base that is being made, here or by a node that led before, count for nobody yet.
    const isYoung = id !== undefined && nowMs - baseTimeMs(id) < ARCHIVE_ORPHAN_MS;
    const isOld = old.some((one) => one.id === id);
    if (id !== undefined && !known.has(id) && (isOld || !isYoung)) await remove(key);
  }
  if (base === undefined) return { objects, base };
  for await (const { key, last, first } of catalog.entriesAfter(entriesPrefix(clusterId))) {
    if (first > base.index) break;
    if (last <= base.index) await remove(key);
  }
  return { objects, base };
}
