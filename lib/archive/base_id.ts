/** Ids of bases: when they were begun, and 80 random bits. */

const TIME_DIGITS = 12;

/**
 * A new id of 32 hexadecimal digits.
 *
 * @param wallMs Milliseconds since 1970.
 * @param randomHex Draws so many random bytes.
 */
export function newBaseId(wallMs: number, randomHex: (bytes: number) => string): string {
  return wallMs.toString(16).padStart(TIME_DIGITS, "0").slice(-TIME_DIGITS) + randomHex(10);
}

/** When the base was begun, in milliseconds since 1970. */
export function baseTimeMs(id: string): number {
  return parseInt(id.slice(0, TIME_DIGITS), 16);
}
