/** Looks through what a cut gives up: for what is lost, and for what must not be. */
import { FormatError } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import type { Configuration, HardState, LogIndex, Term } from "../raft/types.ts";
import { chainEquals } from "../wire/chain.ts";
import { decodeConfiguration } from "../wire/configuration.ts";
import {
  decodeRecordHead,
  RECORD_ALIGNMENT,
  RECORD_HEAD_BYTES,
  RECORD_MAGIC,
  recordSeed,
} from "../wire/record.ts";
import type { LogPoint } from "./batch.ts";

/** The configuration at the base of a log, and the bytes that say so. */
export interface FoundBase {
  readonly configuration: Configuration;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** See the file comment. */
export class LostPart {
  /** The highest entry that was found; 0 when none was. */
  lastIndex: LogIndex = 0;
  /** The latest term and vote that were found. */
  hardState: HardState = { term: 0, votedFor: undefined };
  /** The latest term of any entry. */
  lastTerm: Term = 0;
  /** What a base record says of the log's base, which its chain proves to be the same. */
  base: FoundBase | undefined;
  readonly #point: LogPoint;

  /** @param point The base of the log. */
  constructor(point: LogPoint) {
    this.#point = point;
  }

  /** Takes in every valid record in `bytes` from `from` on, of a segment with `salt`. */
  survey(bytes: Uint8Array, from: number, salt: number): void {
    const low = RECORD_MAGIC & 0xff;
    const high = RECORD_MAGIC >>> 8;
    for (let at = from; at + RECORD_HEAD_BYTES <= bytes.length; at += RECORD_ALIGNMENT) {
      if (bytes[at] !== low || bytes[at + 1] !== high) continue;
      const head = decodeRecordHead(bytes, at, recordSeed(salt, at));
      if (head?.type === "entry") {
        this.lastIndex = Math.max(this.lastIndex, head.index);
        this.lastTerm = Math.max(this.lastTerm, head.term);
      } else if (head?.type === "hardState" && head.term >= this.hardState.term) {
        // Both grow along the log, and segments are surveyed in their order.
        this.hardState = { term: head.term, votedFor: head.index === 0 ? undefined : head.index };
      }
      const { index, term, chain } = this.#point;
      if (head?.type !== "base" || head.index !== index || head.term !== term) continue;
      if (!chainEquals(head.chain, chain)) continue;
      const bodyAt = at + RECORD_HEAD_BYTES;
      const body = bytes.slice(bodyAt, bodyAt + head.bodySizeBytes);
      if (body.length === head.bodySizeBytes && crc32c(body) === head.bodyChecksum) {
        this.#keep(body);
      }
    }
  }

  #keep(bytes: Uint8Array<ArrayBuffer>): void {
    try {
      this.base = { configuration: decodeConfiguration(bytes), bytes };
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
}
