/** Hash functions of the runtime. */
import { createHash } from "node:crypto";

/** A hash under way. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** The hash of all that was given, in hexadecimal; ends the hash. */
  digestHex(): string;
}

/** Begins a SHA-256. */
export function sha256(): Hasher {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    digestHex: () => hash.digest("hex"),
  };
}
