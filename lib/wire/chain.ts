/**
 * The chain names a whole history of the log in 64 bits: two logs with the same chain at an index
 * hold the same entries up to it, but for an accident of about 2^-64. It is built from what
 * identifies each entry, so every node computes the same one. It is no protection against malice.
 */
import { ENTRY_TYPES, type EntryHead } from "./entry.ts";

const HIGH = 0x1_0000_0000;

/** Two unsigned halves of 32 bits. */
export interface Chain {
  readonly a: number;
  readonly b: number;
}

/** The chain of an empty log. */
export const CHAIN_START: Chain = { a: 0x9e3779b9, b: 0x7f4a7c15 };

/** The chain after the entry `head`, given the chain before it. */
export function chainNext(chain: Chain, head: EntryHead): Chain {
  let a = chain.a;
  let b = chain.b;
  const mix = (word: number) => {
    // The rounds of MurmurHash3 on each half; what one half has taken in goes into the other.
    a = Math.imul(rotateLeft(a ^ Math.imul(word, 0xcc9e2d51), 15), 0x1b873593) + b;
    b = Math.imul(rotateLeft(b ^ Math.imul(word, 0x85ebca6b), 13), 0xc2b2ae35) + a;
  };
  mix(head.index % HIGH);
  mix(Math.floor(head.index / HIGH));
  mix(head.term % HIGH);
  mix(Math.floor(head.term / HIGH));
  mix(ENTRY_TYPES[head.type]);
  mix(head.bodySizeBytes);
  mix(head.checksum);
  return { a: finish(a), b: finish(b ^ a) };
}

/** Whether two chains are the same. */
export function chainEquals(one: Chain, other: Chain): boolean {
  return one.a === other.a && one.b === other.b;
}

function rotateLeft(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

function finish(x: number): number {
  let z = x ^ (x >>> 16);
  z = Math.imul(z, 0x85ebca6b);
  z ^= z >>> 13;
  z = Math.imul(z, 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}
