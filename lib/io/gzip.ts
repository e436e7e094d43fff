/** Compression, as both runtimes have it. */
import { gunzipSync, gzipSync } from "node:zlib";

/** Compresses as gzip (RFC 1952), as small as it gets. */
export function compress(bytes: Uint8Array): Uint8Array {
  return gzipSync(bytes, { level: 9 });
}

/** Undoes {@linkcode compress}. */
export function decompress(bytes: Uint8Array): Uint8Array {
  return gunzipSync(bytes);
}
