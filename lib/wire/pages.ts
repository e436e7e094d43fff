/**
 * How the pages of databases travel from one node to another, on a connection of their own. The
 * taker asks, the giver answers each request, in order. All integers are little-endian; *u53* takes
 * eight bytes. A request begins with its kind:
 *
 * | kind | request | fields                                                                   |
 * | ---- | ------- | ------------------------------------------------------------------------ |
 * | 1    | ask     | u53 least: the first entry that the snapshot must hold                   |
 * | 2    | compare | u32 first page, from 1 · u16 count of pages · u16 count of hashes · those |
 * | 3    | finish  |                                                                          |
 * | 4    | open    | u32 database id: what is compared from here on; the first one at first   |
 *
 * The hashes are those of the pages that the taker has, from the first one on; pages beyond are
 * wanted in any case. An answer begins with its kind, too:
 *
 * | kind | answer  | to      | fields                                                          |
 * | ---- | ------- | ------- | --------------------------------------------------------------- |
 * | 1    | offer   | ask     | u53 index · u53 term · u32 and u32 chain · u53 known in term ·  |
 * |      |         |         | u32 bytes of a page · u32 pages of the file, of the first       |
 * |      |         |         | database · configuration · all databases, where there are more  |
 * | 2    | nothing | ask     | text: why there is no snapshot now                              |
 * | 3    | pages   | compare | u32 first page · u16 pages that the file has of those asked for |
 * |      |         |         | · u16 count · count × u16 distance from the first page,         |
 * |      |         |         | ascending · count × page                                        |
 * | 4    | end     | finish  | u53 fuzzy index · u32 pages of the first database               |
 * | 5    | file    | open    | u32 bytes of a page · u32 pages of the file                     |
 */
import { ByteReader, ByteWriter, FormatError } from "../base/bytes.ts";
import { PAGE_RANGE_BYTES } from "../base/limits.ts";
import type { LogIndex, SnapshotBase } from "../raft/types.ts";
import { decodeConfiguration, encodeConfiguration } from "./configuration.ts";
import { type DatabaseList, readDatabaseList, writeDatabaseList } from "./database_list.ts";
import { beginFrame, endFrame } from "./frame.ts";

/** Bytes of the hash of one page: the first half of its SHA-256. */
export const PAGE_HASH_BYTES = 16;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65_536;
const REASON_LENGTH_MAX = 300;

/** What the taker asks. */
export type PageRequest =
  | { readonly type: "ask"; readonly least: LogIndex }
  | {
    readonly type: "compare";
    /** Number of the first page, from 1. */
    readonly first: number;
    /** How many pages are asked for; at most {@linkcode rangePages}. */
    readonly count: number;
    /** One after another, for the first pages of those. */
    readonly hashes: Uint8Array;
  }
  | { readonly type: "open"; readonly databaseId: number }
  | { readonly type: "finish" };

/** What the giver answers. */
export type PageResponse =
  | {
    readonly type: "offer";
    readonly base: SnapshotBase;
    readonly pageBytes: number;
    /** Pages of the first database as the copy begins. */
    readonly pages: number;
    /** All databases, where there is more than the first, or ever was. */
    readonly databases?: DatabaseList | undefined;
  }
  | { readonly type: "nothing"; readonly reason: string }
  | {
    readonly type: "pages";
    readonly first: number;
    /** How many of the pages that were asked for the file has; the others are beyond its end. */
    readonly present: number;
    /** Distances of the pages that differ from the first one, ascending. */
    readonly offsets: readonly number[];
    /** Those pages, one after another. */
    readonly bytes: Uint8Array;
  }
  | { readonly type: "file"; readonly pageBytes: number; readonly pages: number }
  | { readonly type: "end"; readonly fuzzyIndex: LogIndex; readonly pages: number };

const REQUESTS = { ask: 1, compare: 2, finish: 3, open: 4 } as const;
const RESPONSES = { offer: 1, nothing: 2, pages: 3, end: 4, file: 5 } as const;

/** Pages that are compared at once. */
export function rangePages(pageBytes: number): number {
  return Math.floor(PAGE_RANGE_BYTES / pageBytes);
}

/** Whether a database can have pages of this size. */
export function isPageSize(bytes: number): boolean {
  return bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) === 0;
}

/** The frame of a request. */
export function pageRequestBytes(request: PageRequest): Uint8Array {
  const hashes = request.type === "compare" ? request.hashes : undefined;
  const writer = new ByteWriter(64 + (hashes?.length ?? 0));
  const start = beginFrame(writer, "page_request");
  writer.u8(REQUESTS[request.type]);
  if (request.type === "ask") writer.u53(request.least);
  if (request.type === "open") writer.u32(request.databaseId);
  if (request.type === "compare") {
    writer.u32(request.first).u16(request.count).u16(request.hashes.length / PAGE_HASH_BYTES)
      .raw(request.hashes);
  }
  endFrame(writer, start);
  return writer.view();
}

/**
 * Reads the body of a request.
 *
 * @throws {FormatError} when the bytes are no request.
 */
export function decodePageRequest(body: Uint8Array): PageRequest {
  const reader = new ByteReader(body);
  const request = readRequest(reader, reader.u8());
  reader.end();
  return request;
}

function readRequest(reader: ByteReader, kind: number): PageRequest {
  switch (kind) {
    case REQUESTS.ask:
      return { type: "ask", least: reader.u53() };
    case REQUESTS.compare: {
      const [first, count, known] = [reader.u32(), reader.u16(), reader.u16()];
      if (first === 0 || count === 0 || count > rangePages(PAGE_BYTES_MIN) || known > count) {
        throw new FormatError(`${known} hashes for ${count} pages from page ${first} on`);
      }
      return { type: "compare", first, count, hashes: reader.raw(known * PAGE_HASH_BYTES) };
    }
    case REQUESTS.finish:
      return { type: "finish" };
    case REQUESTS.open:
      return { type: "open", databaseId: reader.u32() };
    default:
      throw new FormatError(`Unknown kind of request for pages: ${kind}`);
  }
}

/** The frame of an answer. */
export function pageResponseBytes(response: PageResponse): Uint8Array {
  const sizeBytes = response.type === "pages"
    ? response.bytes.length + 2 * response.offsets.length
    : 512;
  const writer = new ByteWriter(64 + sizeBytes);
  const start = beginFrame(writer, "page_response");
  writer.u8(RESPONSES[response.type]);
  switch (response.type) {
    case "offer": {
      const { index, term, chain, knownInTerm, configuration } = response.base;
      writer.u53(index).u53(term).u32(chain.a).u32(chain.b).u53(knownInTerm);
      writer.u32(response.pageBytes).u32(response.pages).blob(encodeConfiguration(configuration));
      if (response.databases !== undefined) writeDatabaseList(writer, response.databases);
      break;
    }
    case "nothing":
      writer.text(response.reason.slice(0, REASON_LENGTH_MAX));
      break;
    case "pages":
      writer.u32(response.first).u16(response.present).u16(response.offsets.length);
      for (const offset of response.offsets) writer.u16(offset);
      writer.raw(response.bytes);
      break;
    case "file":
      writer.u32(response.pageBytes).u32(response.pages);
      break;
    case "end":
      writer.u53(response.fuzzyIndex).u32(response.pages);
      break;
  }
  endFrame(writer, start);
  return writer.view();
}

/**
 * Reads the body of an answer.
 *
 * @throws {FormatError} when the bytes are no answer.
 */
export function decodePageResponse(body: Uint8Array): PageResponse {
  const reader = new ByteReader(body);
  const response = readResponse(reader, reader.u8());
  reader.end();
  return response;
}

function readResponse(reader: ByteReader, kind: number): PageResponse {
  switch (kind) {
    case RESPONSES.offer:
      return readOffer(reader);
    case RESPONSES.nothing:
      return { type: "nothing", reason: reader.text().slice(0, REASON_LENGTH_MAX) };
    case RESPONSES.pages:
      return readPages(reader);
    case RESPONSES.file:
      return readFile(reader);
    case RESPONSES.end:
      return { type: "end", fuzzyIndex: reader.u53(), pages: reader.u32() };
    default:
      throw new FormatError(`Unknown kind of answer about pages: ${kind}`);
  }
}

function readOffer(reader: ByteReader): PageResponse {
  const [index, term] = [reader.u53(), reader.u53()];
  const chain = { a: reader.u32(), b: reader.u32() };
  const knownInTerm = reader.u53();
  const [pageBytes, pages] = [reader.u32(), reader.u32()];
  if (index === 0 || pages === 0) throw new FormatError("A snapshot of nothing");
  if (!isPageSize(pageBytes)) throw new FormatError(`Pages of ${pageBytes} bytes`);
  const configuration = decodeConfiguration(reader.blob());
  const databases = reader.remaining > 0 ? readDatabaseList(reader) : undefined;
  return {
    type: "offer",
    base: { index, term, chain, configuration, knownInTerm },
    pageBytes,
    pages,
    ...databases !== undefined && { databases },
  };
}

function readFile(reader: ByteReader): PageResponse {
  const [pageBytes, pages] = [reader.u32(), reader.u32()];
  if (pages === 0 || !isPageSize(pageBytes)) {
    throw new FormatError(`A file of ${pages} pages of ${pageBytes} bytes`);
  }
  return { type: "file", pageBytes, pages };
}

function readPages(reader: ByteReader): PageResponse {
  const [first, present, count] = [reader.u32(), reader.u16(), reader.u16()];
  const offsets: number[] = [];
  for (let i = 0; i < count; i++) {
    const offset = reader.u16();
    if (offset >= present || offset <= (offsets.at(-1) ?? -1)) {
      throw new FormatError(`Page ${offset} of ${present} is out of place`);
    }
    offsets.push(offset);
  }
  const bytes = reader.raw(reader.remaining);
  const fits = count === 0 ? bytes.length === 0 : isPageSize(bytes.length / count);
  if (!fits) throw new FormatError(`${bytes.length} bytes for ${count} pages`);
  return { type: "pages", first, present, offsets, bytes };
}
