/**
 * The hashes of the pages of a database along the log: saved with each checkpoint, loaded at a
 * start, and added up to digests, which a leader tells now and then and each follower holds against
 * its own.
 */
import { concat } from "../base/bytes.ts";
import type { ReplicaHandle } from "../database/replica_handle.ts";
import type { Disk } from "../io/disk.ts";
import type { LogIndex } from "../raft/types.ts";
import type { DigestClaim, PageDigest } from "../wire/command.ts";
import { ClaimPace } from "./claim_pace.ts";
import { DigestHistory, isSameDigest } from "./digest_history.ts";
import { HashFile, type HashSource } from "./hash_file.ts";

/** What can be set about {@linkcode PageHashes}. */
export interface PageHashesOptions {
  /** How often a leader tells the digest of its database. */
  readonly claimPace?: ClaimPace;
  /** The leader says to have held something else after an entry than this node. */
  readonly onDiverged?: (claim: DigestClaim, own: PageDigest) => void;
}

/** Bytes of hashes that the library hands over at once. */
const SAVE_BYTES = 12 * 8_192;

/** See the file comment. */
export class PageHashes {
  readonly #file: HashFile;
  readonly #digests = new DigestHistory();
  readonly #pace: ClaimPace;
  readonly #onDiverged: (claim: DigestClaim, own: PageDigest) => void;
  /** What the next batch is to tell the followers. */
  #claim: DigestClaim | undefined;
  /** The entry whose claim was looked at last. */
  #checkedIndex: LogIndex = 0;
  #verifiedIndex: LogIndex = 0;
  /** Batches that were applied since the handle was opened. */
  #batches = 0;

  /** @param path Where they are saved. */
  constructor(disk: Disk, path: string, options: PageHashesOptions) {
    this.#file = new HashFile(disk, path);
    this.#pace = options.claimPace ?? new ClaimPace();
    this.#onDiverged = options.onDiverged ?? (() => {});
  }

  /**
   * The file, complete up to `index`, was opened: says what is in it, as far as that is known.
   *
   * @param mayRest See {@linkcode HashFile.load}.
   * @returns Up to where the file is complete: `index`, or more.
   */
  opened(handle: ReplicaHandle, index: LogIndex, mayRest: boolean): LogIndex {
    const loaded = this.#file.load(index, mayRest);
    if (loaded === undefined) return index;
    if (loaded.table.length > 0) handle.loadHashes(loaded.table);
    return Math.max(index, loaded.index);
  }

  /** The file was made by the entry at `index`. */
  created(handle: ReplicaHandle, index: LogIndex): void {
    handle.learnHashes();
    this.save(handle, index);
    this.#note(handle, index);
  }

  /** As {@linkcode created}, and nothing is saved before the first checkpoint. */
  learn(handle: ReplicaHandle, index: LogIndex): void {
    handle.learnHashes();
    this.#note(handle, index);
  }

  /** Another office begins: what was noted does not go on. */
  begin(): void {
    this.#claim = undefined;
    this.#digests.clear();
  }

  /** The batch that ends with the entry at `index` was applied. */
  applied(index: LogIndex): void {
    this.#digests.note(index, ++this.#batches);
  }

  /** The leader's transactions up to the entry at `index` are committed. */
  released(handle: ReplicaHandle, index: LogIndex): void {
    if (!this.#pace.isDue()) return;
    const digest = this.#note(handle, index);
    if (digest !== undefined) this.#claim = { index, ...digest };
  }

  /** What the leader's next batch is to tell; undefined when nothing is due. */
  get claim(): DigestClaim | undefined {
    return this.#claim;
  }

  /** The claim went out. */
  claimed(): void {
    this.#claim = undefined;
  }

  /** The last entry after which this node held the same as the leader; 0 when none is known. */
  get verifiedIndex(): LogIndex {
    return this.#verifiedIndex;
  }

  /** The entry at `index` carries a claim of the leader. */
  check(handle: ReplicaHandle, index: LogIndex, claim: DigestClaim): void {
    if (index === this.#checkedIndex) return;
    this.#checkedIndex = index;
    const own = this.digestAt(handle, claim.index);
    if (own === undefined) return;
    if (isSameDigest(own, claim)) this.#verifiedIndex = claim.index;
    else this.#onDiverged(claim, own);
  }

  /**
   * The digest after an entry that was applied here, or about which this node made a claim as the
   * leader; undefined when it is not known.
   */
  digestAt(handle: ReplicaHandle, index: LogIndex): PageDigest | undefined {
    const source = this.#digests.at(index);
    return typeof source === "number" ? handle.digestAfter(source) : source;
  }

  /** Notes, durably, what the file holds as of a checkpoint that is about to count. */
  save(handle: ReplicaHandle, index: LogIndex): void {
    const source: HashSource = (which) => {
      const parts: Uint8Array[] = [];
      for (let from = 1; from !== 0;) {
        const buffer = new Uint8Array(SAVE_BYTES);
        const { bytes, next } = handle.saveHashes(which, from, buffer);
        parts.push(buffer.subarray(0, bytes));
        from = next;
      }
      return concat(parts);
    };
    this.#file.save(index, handle.hashes().digest.pages, source);
  }

  /** The database now is what it is after the entry at `index`. */
  #note(handle: ReplicaHandle, index: LogIndex): PageDigest | undefined {
    const { digest, unknownPages } = handle.hashes();
    const known = unknownPages === 0 ? digest : undefined;
    this.#digests.note(index, known);
    return known;
  }
}
