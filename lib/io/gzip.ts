/** Compression, as both runtimes have it. */
import { gunzip, gunzipSync, gzip, gzipSync } from "node:zlib";

/** Compresses as gzip (RFC 1952), as small as it gets. */
export function compress(bytes: Uint8Array): Uint8Array {
  return gzipSync(bytes, { level: 9 });
}

/** Undoes {@linkcode compress}. */
export function decompress(bytes: Uint8Array): Uint8Array {
  return gunzipSync(bytes);
}

/** Compresses as gzip, quickly and in another thread. */
export function pack(bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    gzip(bytes, { level: 1 }, (error, packed) => error ? reject(error) : resolve(packed));
  });
}

/** Undoes {@linkcode pack}. @throws {Error} when it is no gzip, or more than `bytesMax` bytes. */
export function unpack(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: Math.max(1, bytesMax) }, (error, unpacked) => {
      if (error) reject(error);
      else resolve(unpacked);
    });
  });
}
