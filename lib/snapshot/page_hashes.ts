/**
 * Which pages of a range differ. The hash is a cryptographic one, as users decide what is in a
 * page: two pages that are taken for the same must be the same.
 */
import { sha256Of } from "../io/hash.ts";
import { PAGE_HASH_BYTES } from "../wire/pages.ts";

/** The hashes of whole pages, one after another. */
export function pageHashes(pages: Uint8Array, pageBytes: number): Uint8Array {
  const hashes = new Uint8Array(pages.length / pageBytes * PAGE_HASH_BYTES);
  for (let page = 0; page * pageBytes < pages.length; page++) {
    hashes.set(hashOf(pages, page, pageBytes), page * PAGE_HASH_BYTES);
  }
  return hashes;
}

/**
 * The places of the pages that do not match their hash, or have none, ascending.
 *
 * @param hashes As {@linkcode pageHashes} made them of other pages, more or fewer.
 */
export function differingPages(
  pages: Uint8Array,
  pageBytes: number,
  hashes: Uint8Array,
): number[] {
  const differing: number[] = [];
  for (let page = 0; page * pageBytes < pages.length; page++) {
    const at = page * PAGE_HASH_BYTES;
    const other = hashes.subarray(at, at + PAGE_HASH_BYTES);
    const isSame = other.length > 0 &&
      hashOf(pages, page, pageBytes).every((byte, i) => byte === other[i]);
    if (!isSame) differing.push(page);
  }
  return differing;
}

function hashOf(pages: Uint8Array, page: number, pageBytes: number): Uint8Array {
  return sha256Of(pages.subarray(page * pageBytes, (page + 1) * pageBytes))
    .subarray(0, PAGE_HASH_BYTES);
}
