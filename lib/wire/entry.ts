/**
 * Entries as bytes, the same on the wire and in the log: a head of 32 bytes, then the body. Head
 * and body can be written apart, so that a large payload is never copied to be sent or stored.
 *
 * Head: type u8, 3 zero bytes, body size u32, index u64, term u64, CRC-32C of the body u32,
 * 4 zero bytes; all little-endian.
 */
import { type ByteReader, type ByteWriter, FormatError } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import { ENTRY_PAYLOAD_BYTES_MAX } from "../base/limits.ts";
import type { Entry, LogIndex, Term } from "../raft/types.ts";
import { decodeConfiguration, encodeConfiguration } from "./configuration.ts";

/** Size of the head of an entry. */
export const ENTRY_HEAD_BYTES = 32;

/** The type of an entry as its number on the wire; numbers are never reused. */
export const ENTRY_TYPES = { noop: 1, command: 2, configuration: 3 } as const;

const EMPTY = new Uint8Array(0);

/** The part of an entry that does not depend on the size of its payload. */
export interface EntryHead {
  readonly type: Entry["type"];
  readonly index: LogIndex;
  readonly term: Term;
  readonly bodySizeBytes: number;
  /** CRC-32C of the body; 0 when the body is empty. */
  readonly checksum: number;
}

/** What follows the head: nothing, the payload itself, or the encoded configuration. */
export interface EntryBody {
  readonly bytes: Uint8Array;
  readonly checksum: number;
}

/**
 * The body of `entry`. A payload is passed on by reference, with the checksum that its proposer
 * computed; it is not hashed here.
 */
export function entryBody(entry: Entry): EntryBody {
  switch (entry.type) {
    case "noop":
      return { bytes: EMPTY, checksum: 0 };
    case "command":
      return { bytes: entry.payload, checksum: entry.checksum };
    case "configuration": {
      const bytes = encodeConfiguration(entry.configuration);
      return { bytes, checksum: crc32c(bytes) };
    }
  }
}

/** The head of `entry`, given its body. */
export function entryHead(entry: Entry, body: EntryBody): EntryHead {
  return {
    type: entry.type,
    index: entry.index,
    term: entry.term,
    bodySizeBytes: body.bytes.length,
    checksum: body.checksum,
  };
}

/** Writes the {@linkcode ENTRY_HEAD_BYTES} bytes of a head. */
export function encodeEntryHead(writer: ByteWriter, head: EntryHead): void {
  writer.u8(ENTRY_TYPES[head.type]).u8(0).u16(0).u32(head.bodySizeBytes);
  writer.u53(head.index).u53(head.term).u32(head.checksum).u32(0);
}

/**
 * Reads a head.
 *
 * @throws {FormatError} when the type is unknown or the body is above its limit.
 */
export function decodeEntryHead(reader: ByteReader): EntryHead {
  const type = entryType(reader.u8());
  if (reader.u8() !== 0 || reader.u16() !== 0) throw new FormatError("Reserved bytes are not 0");
  const bodySizeBytes = reader.u32();
  if (bodySizeBytes > ENTRY_PAYLOAD_BYTES_MAX) {
    throw new FormatError(`Entry of ${bodySizeBytes} bytes; at most ${ENTRY_PAYLOAD_BYTES_MAX}`);
  }
  const head = { type, index: reader.u53(), term: reader.u53(), checksum: reader.u32() };
  if (reader.u32() !== 0) throw new FormatError("Reserved bytes are not 0");
  return { ...head, bodySizeBytes };
}

/** The type of entry that `code` stands for. */
export function entryType(code: number): Entry["type"] {
  if (code === ENTRY_TYPES.command) return "command";
  if (code === ENTRY_TYPES.noop) return "noop";
  if (code === ENTRY_TYPES.configuration) return "configuration";
  throw new FormatError(`Unknown type of entry: ${code}`);
}

/**
 * Joins a head and its body. The entry keeps a reference to `body`; copy it first when its memory
 * will be used again.
 *
 * @throws {FormatError} when the body does not match the checksum, or is no body of that type.
 */
export function entryOf(head: EntryHead, body: Uint8Array): Entry {
  const { index, term, checksum } = head;
  if (body.length !== head.bodySizeBytes || crc32c(body) !== checksum) {
    throw new FormatError(`The body of entry ${index} of term ${term} is damaged`);
  }
  switch (head.type) {
    case "noop":
      if (body.length !== 0) throw new FormatError(`Entry ${index} is a no-op with a body`);
      return { type: "noop", index, term };
    case "command":
      return { type: "command", index, term, payload: body, checksum };
    case "configuration":
      return { type: "configuration", index, term, configuration: decodeConfiguration(body) };
  }
}

/** Size of `entry`, head and body. */
export function entrySizeBytes(entry: Entry): number {
  return ENTRY_HEAD_BYTES +
    (entry.type === "command" ? entry.payload.length : entryBody(entry).bytes.length);
}

/** Writes head and body of `entry`. The payload is copied into the writer. */
export function encodeEntry(writer: ByteWriter, entry: Entry): void {
  const body = entryBody(entry);
  encodeEntryHead(writer, entryHead(entry, body));
  writer.raw(body.bytes);
}

/**
 * Reads an entry and verifies its checksum. A payload is a view of the reader's bytes.
 *
 * @throws {FormatError} when the bytes are no entry, or its body is damaged.
 */
export function decodeEntry(reader: ByteReader): Entry {
  const head = decodeEntryHead(reader);
  return entryOf(head, reader.raw(head.bodySizeBytes));
}
