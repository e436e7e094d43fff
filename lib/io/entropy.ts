/** Randomness of the system, for what must be unique or must not be guessed. */

/** `byteCount` random bytes in lower-case hexadecimal. */
export function randomHex(byteCount: number): string {
  let text = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(byteCount))) {
    text += byte.toString(16).padStart(2, "0");
  }
  return text;
}

/** A secret of 128 bits, of hexadecimal digits. */
export function randomToken(): string {
  return randomHex(16);
}

/** An unsigned integer of 32 bits, to seed a generator. */
export function randomU32(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

/** An integer from 1 to 2^53 - 1. */
export function randomU53(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  const value = (high! % 0x20_0000) * 0x1_0000_0000 + low!;
  return value === 0 ? randomU53() : value;
}
