/** What an archive holds, by the names of its objects. */
import { ARCHIVE_OBJECT_ENTRIES_MAX } from "../base/limits.ts";
import type { ObjectStore } from "../io/object_store.ts";
import type { LogIndex } from "../raft/types.ts";
import {
  type BaseName,
  basePrefix,
  beforeEntriesFrom,
  type EntriesName,
  entriesPrefix,
  isClusterId,
  parseBaseKey,
  parseEntriesKey,
} from "../wire/archive_keys.ts";

/** An object with entries. */
export interface EntriesObject extends EntriesName {
  readonly key: string;
  readonly sizeBytes: number;
}

/** A base. */
export interface BaseObject extends BaseName {
  readonly key: string;
}

/** The archive of one cluster. */
export class Catalog {
  readonly store: ObjectStore;
  readonly clusterId: string;

  constructor(store: ObjectStore, clusterId: string) {
    this.store = store;
    this.clusterId = clusterId;
  }

  /** The clusters that have something in a store, sorted. */
  static async clusters(store: ObjectStore): Promise<string[]> {
    return (await store.folders()).filter(isClusterId);
  }

  /** All bases, by the entry that they begin with. */
  async bases(): Promise<BaseObject[]> {
    const bases: BaseObject[] = [];
    for await (const { key } of this.store.list(basePrefix(this.clusterId))) {
      const name = parseBaseKey(key);
      if (name !== undefined) bases.push({ ...name, key });
    }
    return bases;
  }

  /** The objects with entries of which any may be `first` or a later one, by their first entry. */
  entriesFrom(first: LogIndex): AsyncGenerator<EntriesObject> {
    const lowest = Math.max(1, first - ARCHIVE_OBJECT_ENTRIES_MAX + 1);
    return this.entriesAfter(beforeEntriesFrom(this.clusterId, lowest));
  }

  /** The objects with entries whose names sort behind `after`, by their first entry. */
  async *entriesAfter(after: string): AsyncGenerator<EntriesObject> {
    for await (const { key, sizeBytes } of this.store.list(entriesPrefix(this.clusterId), after)) {
      const name = parseEntriesKey(key);
      if (name !== undefined) yield { ...name, key, sizeBytes };
    }
  }
}
