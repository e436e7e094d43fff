/** Hash functions of the runtime. */
import { createHash, hash } from "node:crypto";

/** A hash under way. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** The hash of all that was given, in hexadecimal; ends the hash. */
  digestHex(): string;
}

/** The SHA-256 of `bytes`, 32 bytes. */
export function sha256Of(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

/** Begins a SHA-256. */
export function sha256(): Hasher {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    digestHex: () => hash.digest("hex"),
  };
}

/** The SHA-256 of `bytes` in hexadecimal, worked out by another thread. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
