/** What nodes ask each other about the pages of their databases, as JSON, and the answers. */
import { z } from "zod";
import { DatabaseError } from "../base/errors.ts";
import { REPAIR_BYTES_MAX, REPAIR_PAGES_MAX } from "../base/limits.ts";
import type { PageSet } from "../database/page_integrity.ts";
import type { LogIndex } from "../raft/types.ts";
import type { PageDigest } from "../wire/command.ts";
import { parseParams } from "../wire/parse_params.ts";

/** The methods of the cluster port. */
export const ASK_PAGES = "pages";
export const ASK_DIGEST = "digest";
export const TELL_DIVERGED = "diverged";

const U32 = z.number().int().min(0).max(0xffff_ffff);
const INDEX = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const PAGES = z.array(U32.min(1)).max(REPAIR_PAGES_MAX);

const pagesQuestion = z.object({ pages: PAGES });
const pagesAnswer = z.object({ pages: PAGES, bytes: z.string().max(2 * REPAIR_BYTES_MAX) });
const digestQuestion = z.object({ index: INDEX });
const digestAnswer = z.object({ low: U32, high: U32, pages: U32 }).nullable();

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parsePagesQuestion(params: unknown): readonly number[] {
  return parseParams(pagesQuestion, params, "question for pages").pages;
}

/** The answer to a question for pages, as JSON. */
export function pagesToJson({ pages, bytes }: PageSet): z.output<typeof pagesAnswer> {
  return { pages: [...pages], bytes: bytes.toBase64() };
}

/** @throws {DatabaseError} `PROTOCOL` when the answer does not hold whole pages. */
export function parsePages(answer: unknown): PageSet {
  const { pages, bytes: text } = parseParams(pagesAnswer, answer, "answer with pages");
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(text);
  } catch (error) {
    throw new DatabaseError("PROTOCOL", "The pages of an answer are not base64", { cause: error });
  }
  if (pages.length === 0 ? bytes.length > 0 : bytes.length % pages.length !== 0) {
    throw new DatabaseError("PROTOCOL", `${bytes.length} bytes are not ${pages.length} pages`);
  }
  return { pages, bytes };
}

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parseDigestQuestion(params: unknown): LogIndex {
  return parseParams(digestQuestion, params, "question about a digest").index;
}

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parseDigest(answer: unknown): PageDigest | undefined {
  return parseParams(digestAnswer, answer, "answer with a digest") ?? undefined;
}
