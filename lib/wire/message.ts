/**
 * Raft messages as bytes: kind u8, flags u8, two zero bytes, then the fields in 64 bits each, in
 * the order of `lib/raft/types.ts`. An append request goes on with the number of its entries (u32),
 * their heads one after another, then their bodies one after another; a configuration goes on
 * with its bytes as they are in the log.
 */
import { ByteReader, type ByteWriter, FormatError } from "../base/bytes.ts";
import { APPEND_ENTRIES_MAX } from "../base/limits.ts";
import type { Entry, Message } from "../raft/types.ts";
import { decodeConfiguration, encodeConfiguration } from "./configuration.ts";
import { decodeEntryHead, encodeEntryHead, ENTRY_HEAD_BYTES, entryBody } from "./entry.ts";
import { type EntryBody, type EntryHead, entryHead, entryOf, entrySizeBytes } from "./entry.ts";

/** The kinds of messages as numbers on the wire; numbers are never reused. */
export const MESSAGE_KINDS = {
  vote_request: 1,
  vote_response: 2,
  append_request: 3,
  append_response: 4,
  heartbeat_request: 5,
  heartbeat_response: 6,
  read_request: 7,
  read_response: 8,
  timeout_now: 9,
  removed: 10,
  snapshot_offer: 11,
  configuration: 12,
} as const satisfies Record<Message["type"], number>;

const KINDS = new Map(
  Object.entries(MESSAGE_KINDS).map(([kind, code]) => [code as number, kind as Message["type"]]),
);

type AppendRequest = Extract<Message, { type: "append_request" }>;

const PREVOTE = 1;
const TRANSFER = 2;
const GRANTED = 2;
const WEAK = 4;
const SUCCESS = 1;
const KNOWN = 1;
/** Two further fields of an append request, one of an append response. */
const RECOVERY = 2;
/** No message without entries is longer. */
const FIXED_BYTES_MAX = 56;

/** An upper bound of the size of `message`, exact up to its fixed part. */
export function messageSizeBytes(message: Message): number {
  if (message.type === "configuration") {
    return FIXED_BYTES_MAX + encodeConfiguration(message.configuration).length;
  }
  if (message.type !== "append_request") return FIXED_BYTES_MAX;
  let sizeBytes = FIXED_BYTES_MAX;
  for (const entry of message.entries) sizeBytes += entrySizeBytes(entry);
  return sizeBytes;
}

/**
 * Writes `message`. Payloads are copied into the writer.
 *
 * @returns Where the bodies of entries start, which carry checksums of their own.
 */
export function encodeMessage(writer: ByteWriter, message: Message): number {
  const begin = (flags: number) =>
    writer.u8(MESSAGE_KINDS[message.type]).u8(flags).u16(0).u53(message.term);
  switch (message.type) {
    case "vote_request":
      begin((message.preVote ? PREVOTE : 0) | (message.transfer ? TRANSFER : 0))
        .u53(message.lastIndex).u53(message.lastTerm)
        .u53(message.commitIndex).u53(message.commitTerm);
      break;
    case "vote_response":
      begin(
        (message.preVote ? PREVOTE : 0) | (message.granted ? GRANTED : 0) |
          (message.recovering === true ? WEAK : 0),
      )
        .u53(message.commitIndex).u53(message.commitTerm);
      break;
    case "append_request":
      begin(message.recovery === undefined ? 0 : RECOVERY)
        .u53(message.prevIndex).u53(message.prevTerm).u53(message.commitIndex);
      if (message.recovery !== undefined) {
        writer.u53(message.recovery.nonce).u53(message.recovery.lastIndex);
      }
      return encodeEntries(writer, message.entries);
    case "append_response":
      begin((message.success ? SUCCESS : 0) | (message.nonce === undefined ? 0 : RECOVERY))
        .u53(message.prevIndex)
        .u53(message.matchIndex).u53(message.hintIndex).u53(message.hintTerm);
      if (message.nonce !== undefined) writer.u53(message.nonce);
      break;
    case "heartbeat_request":
      begin(0).u53(message.commitIndex).u53(message.round);
      break;
    case "heartbeat_response":
      begin(0).u53(message.round);
      break;
    case "read_request":
      begin(0).u53(message.ticket);
      break;
    case "read_response":
      begin(message.index === undefined ? 0 : KNOWN).u53(message.ticket).u53(message.index ?? 0);
      break;
    case "timeout_now":
      begin(0);
      break;
    case "removed":
      begin(0).u53(message.configurationIndex);
      break;
    case "snapshot_offer":
      begin(0).u53(message.baseIndex).u53(message.baseTerm);
      break;
    case "configuration":
      begin(0).u53(message.index).raw(encodeConfiguration(message.configuration));
      break;
  }
  return writer.length;
}

/**
 * Reads one message, whose bytes end with it, and verifies the checksums of its entries.
 *
 * Payloads are views: of `bytes` when the message makes up at least half of the memory below it,
 * else of a copy. An entry that is kept thus never holds on to much more than its message.
 *
 * @throws {FormatError} when the bytes are no message.
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const kind = KINDS.get(bytes[0] ?? 0);
  if (kind === undefined) throw new FormatError(`Unknown kind of message: ${bytes[0]}`);
  const isSmallPart = kind === "append_request" && bytes.buffer.byteLength > 2 * bytes.length;
  const reader = new ByteReader(isSmallPart ? bytes.slice() : bytes);
  reader.u8();
  const flags = reader.u8();
  if (reader.u16() !== 0) throw new FormatError("Reserved bytes are not 0");
  const message = decodeFields(reader, kind, flags);
  reader.end();
  return message;
}

function decodeFields(reader: ByteReader, type: Message["type"], flags: number): Message {
  const allowed = FLAGS[type];
  if ((flags & ~allowed) !== 0) throw new FormatError(`Unknown flags of a ${type}: ${flags}`);
  const has = (flag: number) => (flags & flag) !== 0;
  const next = () => reader.u53();
  const term = next();
  switch (type) {
    case "vote_request": {
      const log = { lastIndex: next(), lastTerm: next(), commitIndex: next(), commitTerm: next() };
      return { type, term, preVote: has(PREVOTE), transfer: has(TRANSFER), ...log };
    }
    case "vote_response": {
      const commit = { commitIndex: next(), commitTerm: next() };
      const vote = { type, term, preVote: has(PREVOTE), granted: has(GRANTED), ...commit };
      return has(WEAK) ? { ...vote, recovering: true } : vote;
    }
    case "append_request":
      return decodeAppend(reader, term, has(RECOVERY));
    case "append_response": {
      const [prevIndex, matchIndex, hintIndex, hintTerm] = [next(), next(), next(), next()];
      const answer = { type, term, prevIndex, success: has(SUCCESS) };
      const found = { ...answer, matchIndex, hintIndex, hintTerm };
      return has(RECOVERY) ? { ...found, nonce: next() } : found;
    }
    case "heartbeat_request":
      return { type, term, commitIndex: next(), round: next() };
    case "heartbeat_response":
      return { type, term, round: next() };
    case "read_request":
      return { type, term, ticket: next() };
    case "read_response": {
      const [ticket, index] = [next(), next()];
      if (!has(KNOWN) && index !== 0) throw new FormatError("An unknown index has a value");
      return { type, term, ticket, index: has(KNOWN) ? index : undefined };
    }
    case "timeout_now":
      return { type, term };
    case "removed":
      return { type, term, configurationIndex: next() };
    case "snapshot_offer":
      return { type, term, baseIndex: next(), baseTerm: next() };
    case "configuration": {
      const index = next();
      const configuration = decodeConfiguration(reader.raw(reader.remaining));
      return { type, term, index, configuration };
    }
  }
}

const FLAGS: Record<Message["type"], number> = {
  vote_request: PREVOTE | TRANSFER,
  vote_response: PREVOTE | GRANTED | WEAK,
  append_request: RECOVERY,
  append_response: SUCCESS | RECOVERY,
  heartbeat_request: 0,
  heartbeat_response: 0,
  read_request: 0,
  read_response: KNOWN,
  timeout_now: 0,
  removed: 0,
  snapshot_offer: 0,
  configuration: 0,
};

function encodeEntries(writer: ByteWriter, entries: readonly Entry[]): number {
  writer.u32(entries.length);
  const bodies: EntryBody[] = [];
  for (const entry of entries) {
    const body = entryBody(entry);
    bodies.push(body);
    encodeEntryHead(writer, entryHead(entry, body));
  }
  const checkedEnd = writer.length;
  for (const body of bodies) writer.raw(body.bytes);
  return checkedEnd;
}

function decodeAppend(reader: ByteReader, term: number, recovering: boolean): AppendRequest {
  const [prevIndex, prevTerm, commitIndex] = [reader.u53(), reader.u53(), reader.u53()];
  const recovery = recovering ? { nonce: reader.u53(), lastIndex: reader.u53() } : undefined;
  const count = reader.u32();
  if (count > APPEND_ENTRIES_MAX) {
    throw new FormatError(`${count} entries in one message; at most ${APPEND_ENTRIES_MAX}`);
  }
  if (count * ENTRY_HEAD_BYTES > reader.remaining) throw new FormatError("Entries are missing");
  const heads: EntryHead[] = [];
  let previous = { index: prevIndex, term: prevTerm };
  for (let i = 0; i < count; i++) {
    const head = decodeEntryHead(reader);
    requireNext(previous, head, term);
    heads.push(head);
    previous = head;
  }
  const entries = heads.map((head) => entryOf(head, reader.raw(head.bodySizeBytes)));
  const request = { type: "append_request", term, prevIndex, prevTerm, commitIndex } as const;
  return recovery === undefined ? { ...request, entries } : { ...request, entries, recovery };
}

/** Indexes go up by one, terms never go down nor beyond the sender's (paper, §5.3). */
function requireNext(
  previous: { readonly index: number; readonly term: number },
  head: EntryHead,
  term: number,
): void {
  if (head.index !== previous.index + 1) {
    throw new FormatError(`Entry ${head.index} follows entry ${previous.index}`);
  }
  if (head.term < previous.term || head.term > term) {
    throw new FormatError(`Entry ${head.index} has term ${head.term} in a message of term ${term}`);
  }
}
