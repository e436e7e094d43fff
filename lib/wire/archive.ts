/**
 * Objects of an archive, as bytes. Each stands for itself: it says whose it is and what it holds,
 * and ends with a hash of all that. All integers are little-endian.
 *
 * ```text
 * offset  bytes
 *      0      8  "dqarchiv"
 *      8      1  version = 1
 *      9      1  kind: 1 entries of the log, 2 base, 3 pages of a base
 *     10      2  0
 *     12      4  size of the head that is part of the kind
 *     16     16  id of the cluster
 *     32      …  head
 *      …      …  body: of the kinds 1 and 3 as gzip (RFC 1952), of the kind 2 empty
 *   last     32  SHA-256 of everything before
 *
 * head of kind 1                       head of kind 3
 *      0      8  first index                0     16  id of the base
 *      8      8  last index                16      4  id of the database
 *     16      8  time before               20      4  size of a page
 *     24      8  time after                24      4  number of the first page
 *     32      8  chain before              28      4  count of pages
 *     40      8  chain after
 *     48      4  size of the body,
 *                unpacked
 * ```
 *
 * The body of kind 1 are the entries, one after another, as `entry.ts` writes them; that of kind 3
 * the pages. The head of kind 2, a base:
 *
 * ```text
 *      0     16  id of the base
 *     16      8  the pages hold everything up to this entry,
 *     24      8  and nothing after this one
 *     32      8  chain at the first of the two
 *     40      8  time: no later than that is any transaction in the pages
 *     48      4  count of databases; each is
 *                  id (u32), name (text), size of a page (u32), count of pages (u32), count of
 *                  parts (u32), and of each part 32 bytes: SHA-256 of its object
 * ```
 *
 * A *time* is in milliseconds since 1970: the latest of those that the commands up to a place
 * carry, so it never goes back. A *chain* names the history up to an entry, see `chain.ts`: objects
 * continue each other when it says so, however they are cut and whoever wrote them.
 */
import { ByteReader, ByteWriter, FormatError } from "../base/bytes.ts";
import { ARCHIVE_OBJECT_BYTES_MAX, ARCHIVE_PART_BYTES } from "../base/limits.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import type { Chain } from "./chain.ts";
import { decodeEntry, encodeEntry } from "./entry.ts";

const MAGIC = 0x76696863_72617164n;
const VERSION = 1;
const KINDS = ["entries", "base", "pages"] as const;
const ID_BYTES = 16;
const HEADER_BYTES = 32;

/** Bytes of the hash at the end of each object. */
export const SEAL_BYTES = 32;
const NO_SEAL = new Uint8Array(SEAL_BYTES);

/** What an object holds. */
export type ArchiveKind = typeof KINDS[number];

/** What an object says of itself, with its body still packed. */
export interface ArchiveObject {
  readonly kind: ArchiveKind;
  /** 32 hexadecimal digits. */
  readonly clusterId: string;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

/** Which part of the log an object holds. */
export interface EntriesHead {
  readonly first: LogIndex;
  readonly last: LogIndex;
  readonly timeBeforeMs: number;
  readonly timeAfterMs: number;
  readonly chainBefore: Chain;
  readonly chainAfter: Chain;
  /** Size of the entries. */
  readonly sizeBytes: number;
}

/** One database in a base. */
export interface BaseDatabase {
  readonly id: number;
  readonly name: string;
  readonly pageSizeBytes: number;
  readonly pages: number;
  /** The SHA-256 of each object with pages, in hexadecimal. */
  readonly parts: readonly string[];
}

/** An image of the databases from which the log goes on. */
export interface BaseHead {
  /** 32 hexadecimal digits, drawn at random. */
  readonly id: string;
  /** The pages hold everything up to here, */
  readonly index: LogIndex;
  /** and nothing after this: with the entries in between they are one state. */
  readonly fuzzyIndex: LogIndex;
  readonly chain: Chain;
  readonly timeMs: number;
  readonly databases: readonly BaseDatabase[];
}

/** Which pages an object holds. */
export interface PagesHead {
  readonly baseId: string;
  readonly databaseId: number;
  readonly pageSizeBytes: number;
  readonly firstPage: number;
  readonly count: number;
}

/** An object, with zeros in the place of the hash that ends it. */
export function encodeObject(object: ArchiveObject): Uint8Array<ArrayBuffer> {
  const { kind, clusterId, head, body } = object;
  // The body may be large: it is copied once.
  return new ByteWriter(HEADER_BYTES + head.length + body.length + SEAL_BYTES)
    .i64(MAGIC).u8(VERSION).u8(KINDS.indexOf(kind) + 1).u16(0).u32(head.length)
    .raw(idBytes(clusterId)).raw(head).raw(body).raw(NO_SEAL)
    .view();
}

/**
 * Reads what {@linkcode encodeObject} wrote, given without the hash. Head and body are views of
 * `bytes`.
 *
 * @throws {FormatError} when it is no such object, or of a newer version.
 */
export function decodeObject(bytes: Uint8Array): ArchiveObject {
  const reader = new ByteReader(bytes);
  if (reader.i64() !== MAGIC) throw new FormatError("It is no object of an archive");
  const version = reader.u8();
  if (version !== VERSION) throw new FormatError(`It has the unknown version ${version}`);
  const kind = KINDS[reader.u8() - 1];
  if (kind === undefined || reader.u16() !== 0) throw new FormatError("It is of no known kind");
  const headBytes = reader.u32();
  const clusterId = readId(reader);
  return { kind, clusterId, head: reader.raw(headBytes), body: reader.raw(reader.remaining) };
}

/** Writes the head of an object with entries. */
export function encodeEntriesHead(head: EntriesHead): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(64)
    .u53(head.first).u53(head.last).u53(head.timeBeforeMs).u53(head.timeAfterMs);
  for (const { a, b } of [head.chainBefore, head.chainAfter]) writer.u32(a).u32(b);
  return writer.u32(head.sizeBytes).finish();
}

/** Reads the head of an object with entries. @throws {FormatError} when it is none. */
export function decodeEntriesHead(bytes: Uint8Array): EntriesHead {
  const reader = new ByteReader(bytes);
  const head: EntriesHead = {
    first: reader.u53(),
    last: reader.u53(),
    timeBeforeMs: reader.u53(),
    timeAfterMs: reader.u53(),
    chainBefore: { a: reader.u32(), b: reader.u32() },
    chainAfter: { a: reader.u32(), b: reader.u32() },
    sizeBytes: reader.u32(),
  };
  reader.end();
  const { first, last, sizeBytes } = head;
  if (first < 1 || last < first) throw new FormatError(`It holds the entries ${first} to ${last}`);
  if (sizeBytes > ARCHIVE_OBJECT_BYTES_MAX) throw new FormatError(`It holds ${sizeBytes} bytes`);
  return head;
}

/** Writes the body of an object with entries. */
export function encodeEntries(entries: readonly Entry[], sizeBytes: number): Uint8Array {
  const writer = new ByteWriter(sizeBytes);
  for (const entry of entries) encodeEntry(writer, entry);
  return writer.view();
}

/**
 * Reads the entries of a body, each verified by its checksum. Payloads are views of `body`.
 *
 * @throws {FormatError} when they are not those that the head announces.
 */
export function decodeEntries(head: EntriesHead, body: Uint8Array): Entry[] {
  const reader = new ByteReader(body);
  const entries: Entry[] = [];
  for (let index = head.first; index <= head.last; index++) {
    const entry = decodeEntry(reader);
    if (entry.index !== index) {
      throw new FormatError(`Entry ${entry.index} is in the place of ${index}`);
    }
    entries.push(entry);
  }
  reader.end();
  return entries;
}

/** Writes the head of a base. */
export function encodeBaseHead(head: BaseHead): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(1024)
    .raw(idBytes(head.id)).u53(head.index).u53(head.fuzzyIndex)
    .u32(head.chain.a).u32(head.chain.b).u53(head.timeMs)
    .u32(head.databases.length);
  for (const { id, name, pageSizeBytes, pages, parts } of head.databases) {
    writer.u32(id).text(name).u32(pageSizeBytes).u32(pages).u32(parts.length);
    for (const part of parts) writer.raw(Uint8Array.fromHex(part));
  }
  return writer.finish();
}

/** Reads the head of a base. @throws {FormatError} when it is none. */
export function decodeBaseHead(bytes: Uint8Array): BaseHead {
  const reader = new ByteReader(bytes);
  const databases: BaseDatabase[] = [];
  const head = {
    id: readId(reader),
    index: reader.u53(),
    fuzzyIndex: reader.u53(),
    chain: { a: reader.u32(), b: reader.u32() },
    timeMs: reader.u53(),
    databases,
  };
  for (let left = reader.u32(); left > 0; left--) databases.push(readDatabase(reader));
  reader.end();
  if (head.fuzzyIndex < head.index) throw new FormatError("It ends before it begins");
  return head;
}

/** Writes the head of an object with pages. */
export function encodePagesHead(head: PagesHead): Uint8Array<ArrayBuffer> {
  return new ByteWriter(64)
    .raw(idBytes(head.baseId)).u32(head.databaseId)
    .u32(head.pageSizeBytes).u32(head.firstPage).u32(head.count)
    .finish();
}

/** Reads the head of an object with pages. @throws {FormatError} when it is none. */
export function decodePagesHead(bytes: Uint8Array): PagesHead {
  const reader = new ByteReader(bytes);
  const head = {
    baseId: readId(reader),
    databaseId: reader.u32(),
    pageSizeBytes: reader.u32(),
    firstPage: reader.u32(),
    count: reader.u32(),
  };
  reader.end();
  if (head.pageSizeBytes * head.count > ARCHIVE_PART_BYTES) {
    throw new FormatError(`It holds ${head.count} pages of ${head.pageSizeBytes} bytes`);
  }
  return head;
}

function readDatabase(reader: ByteReader): BaseDatabase {
  const fields = {
    id: reader.u32(),
    name: reader.text(),
    pageSizeBytes: reader.u32(),
    pages: reader.u32(),
  };
  const count = reader.u32();
  const parts: string[] = [];
  for (let part = 0; part < count; part++) parts.push(reader.raw(SEAL_BYTES).toHex());
  return { ...fields, parts };
}

function readId(reader: ByteReader): string {
  return reader.raw(ID_BYTES).toHex();
}

function idBytes(id: string): Uint8Array {
  const bytes = Uint8Array.fromHex(id);
  if (bytes.length !== ID_BYTES) throw new FormatError(`${id} is no id of ${ID_BYTES} bytes`);
  return bytes;
}
