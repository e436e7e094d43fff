import { DatabaseError } from "../base/errors.ts";
import { FormatError } from "../base/bytes.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import { chainEquals } from "../wire/chain.ts";
import { entryOf } from "../wire/entry.ts";
import { decodeRecordHead, RECORD_HEAD_BYTES, recordSeed } from "../wire/record.ts";
import type { EntryTable } from "./entry_table.ts";
import type { SegmentFiles } from "./segment_files.ts";

/**
 * Reads the entry at `index` back from its segment and verifies all of it.
 *
 * @throws {DatabaseError} `CORRUPT`, naming file and offset.
 */
export function readEntry(table: EntryTable, files: SegmentFiles, index: LogIndex): Entry {
  const { segment, offset, bodySizeBytes } = table.position(index);
  const file = files.open(segment);
  const bytes = file.read(offset, RECORD_HEAD_BYTES + bodySizeBytes);
  const corrupt = (expected: string) =>
    new DatabaseError(
      "CORRUPT",
      `${file.path} is damaged at offset ${offset}: expected ${expected}`,
    );
  const head = decodeRecordHead(bytes, 0, recordSeed(files.salt(segment), offset));
  if (head?.type !== "entry" || head.entry === undefined) {
    throw corrupt(`the head of entry ${index}`);
  }
  const { term, chain } = table.pointAt(index);
  if (head.index !== index || head.term !== term || !chainEquals(head.chain, chain)) {
    throw corrupt(`entry ${index} of term ${term}, not ${head.index} of ${head.term}`);
  }
  try {
    const entry = { type: head.entry, index, term, bodySizeBytes, checksum: head.bodyChecksum };
    return entryOf(entry, bytes.subarray(RECORD_HEAD_BYTES));
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw corrupt(`the body of entry ${index}`);
  }
}
