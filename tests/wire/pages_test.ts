import { expect, test } from "bun:test";
import { FormatError } from "../../lib/base/bytes.ts";
import { PAGE_RANGE_BYTES, PAGE_REQUEST_BYTES_MAX } from "../../lib/base/limits.ts";
import { PAGE_RESPONSE_BYTES_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { FRAME_HEADER_BYTES, FrameReader } from "../../lib/wire/frame.ts";
import {
  decodePageRequest,
  decodePageResponse,
  isPageSize,
  PAGE_HASH_BYTES,
  type PageRequest,
  pageRequestBytes,
  type PageResponse,
  pageResponseBytes,
  rangePages,
} from "../../lib/wire/pages.ts";

const MAX = Number.MAX_SAFE_INTEGER;
const PAGE_MAX = 0xffff_fffe;

const REQUESTS: readonly PageRequest[] = [
  { type: "ask", least: 1 },
  { type: "ask", least: MAX },
  { type: "compare", first: 1, count: 1, hashes: new Uint8Array(0) },
  { type: "compare", first: PAGE_MAX, count: 64, hashes: new Uint8Array(16).fill(7) },
  {
    type: "compare",
    first: 2,
    count: rangePages(512),
    hashes: new Uint8Array(rangePages(512) * PAGE_HASH_BYTES).fill(9),
  },
  { type: "open", databaseId: 0xffff_ffff },
  { type: "finish" },
];

const RESPONSES: readonly PageResponse[] = [
  {
    type: "offer",
    base: {
      index: MAX,
      term: MAX,
      chain: { a: 0xffff_ffff, b: 1 },
      knownInTerm: MAX,
      configuration: {
        voters: [1],
        votersOutgoing: [],
        learners: [MAX],
        standbys: [],
        spares: [],
        members: [1, MAX].map((id) => ({ id, address: `h:${id}`, httpUrl: `http://h:${id}` })),
      },
    },
    pageBytes: 65_536,
    pages: PAGE_MAX,
  },
  { type: "nothing", reason: "äöü" },
  { type: "file", pageBytes: 512, pages: 1 },
  { type: "pages", first: 1, present: 0, offsets: [], bytes: new Uint8Array(0) },
  { type: "pages", first: 65, present: 64, offsets: [], bytes: new Uint8Array(0) },
  {
    type: "pages",
    first: PAGE_MAX,
    present: 64,
    offsets: [0, 3, 63],
    bytes: new Uint8Array(3 * 4096).fill(5),
  },
  {
    type: "pages",
    first: 1,
    present: rangePages(512),
    offsets: Array.from({ length: rangePages(512) }, (_, i) => i),
    bytes: new Uint8Array(PAGE_RANGE_BYTES).fill(1),
  },
  { type: "end", fuzzyIndex: MAX, pages: PAGE_MAX },
];

function body(bytes: Uint8Array, bodyBytesMax: number): Uint8Array {
  const reader = new FrameReader(bodyBytesMax);
  reader.push(bytes);
  const frame = reader.next();
  if (frame === undefined) throw new Error("No frame was written");
  return frame.body;
}

/** Whether `decode` reads the bytes; anything but a value or a format error fails the test. */
function isRead(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): boolean {
  try {
    decode(bytes);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return false;
  }
}

test("requests for pages round-trip within their bound", () => {
  for (const request of REQUESTS) {
    const bytes = body(pageRequestBytes(request), PAGE_REQUEST_BYTES_MAX);
    expect(decodePageRequest(bytes)).toEqual(request);
  }
});

test("answers about pages round-trip within their bound", () => {
  for (const response of RESPONSES) {
    const bytes = body(pageResponseBytes(response), PAGE_RESPONSE_BYTES_MAX);
    expect(decodePageResponse(bytes)).toEqual(response);
  }
  const long = body(pageResponseBytes({ type: "nothing", reason: "x".repeat(9_000) }), 1_024);
  expect(decodePageResponse(long)).toEqual({ type: "nothing", reason: "x".repeat(300) });
});

test("a request or answer that is cut short, or goes on, is refused", () => {
  for (const request of REQUESTS) {
    const bytes = pageRequestBytes(request).subarray(FRAME_HEADER_BYTES);
    for (let length = 0; length < bytes.length; length++) {
      expect(isRead(decodePageRequest, bytes.subarray(0, length))).toBe(false);
    }
    expect(isRead(decodePageRequest, Uint8Array.of(...bytes, 0))).toBe(false);
  }
  for (const response of RESPONSES) {
    const bytes = pageResponseBytes(response).subarray(FRAME_HEADER_BYTES);
    const step = bytes.length > 5_000 ? 509 : 1;
    for (let length = 0; length < bytes.length; length += step) {
      // Pages have no length of their own: that of a smaller page may come out.
      const pages = decodeOrUndefined(bytes.subarray(0, length));
      if (pages?.type === "pages") {
        expect(isPageSize(pages.bytes.length / pages.offsets.length)).toBe(true);
      } else expect(pages).toBeUndefined();
    }
  }
});

function decodeOrUndefined(bytes: Uint8Array): PageResponse | undefined {
  return isRead(decodePageResponse, bytes) ? decodePageResponse(bytes) : undefined;
}

test("values out of their range are refused", () => {
  const hashes = new Uint8Array(2 * PAGE_HASH_BYTES);
  const requests: PageRequest[] = [
    { type: "compare", first: 0, count: 1, hashes: new Uint8Array(0) },
    { type: "compare", first: 1, count: 0, hashes: new Uint8Array(0) },
    { type: "compare", first: 1, count: 1, hashes },
    { type: "compare", first: 1, count: rangePages(512) + 1, hashes },
  ];
  for (const request of requests) {
    const bytes = pageRequestBytes(request).subarray(FRAME_HEADER_BYTES);
    expect(isRead(decodePageRequest, bytes)).toBe(false);
  }
  const offer = RESPONSES[0] as PageResponse & { type: "offer" };
  const page = new Uint8Array(512);
  const responses: PageResponse[] = [
    { ...offer, pageBytes: 4_095 },
    { ...offer, pageBytes: 256 },
    { ...offer, pages: 0 },
    { ...offer, base: { ...offer.base, index: 0 } },
    { type: "pages", first: 1, present: 1, offsets: [1], bytes: page },
    { type: "pages", first: 1, present: 4, offsets: [2, 2], bytes: new Uint8Array(1024) },
    { type: "pages", first: 1, present: 4, offsets: [2, 1], bytes: new Uint8Array(1024) },
    { type: "pages", first: 1, present: 4, offsets: [2], bytes: new Uint8Array(513) },
    { type: "pages", first: 1, present: 4, offsets: [], bytes: page },
  ];
  for (const response of responses) {
    const bytes = pageResponseBytes(response).subarray(FRAME_HEADER_BYTES);
    expect(isRead(decodePageResponse, bytes)).toBe(false);
  }
});

test("no bytes make the decoders fail in another way", () => {
  const random = new SeededRandom(5);
  for (let round = 0; round < 3_000; round++) {
    const bytes = new Uint8Array(below(random, 90)).map(() => below(random, 256));
    bytes[0] = below(random, 6);
    isRead(decodePageRequest, bytes);
    isRead(decodePageResponse, bytes);
  }
});
