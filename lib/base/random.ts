/** A source of random numbers. Real ones are seeded by the system, simulated ones by a seed. */
export interface Random {
  /** The next unsigned 32-bit integer. */
  next(): number;
}

/**
 * An integer drawn evenly from `[0, bound)`.
 *
 * @param bound A positive integer below 2^32.
 */
export function below(random: Random, bound: number): number {
  return Math.floor((random.next() / 0x1_0000_0000) * bound);
}

/** xoshiro128** 1.1 (Blackman and Vigna, 2018): the same seed gives the same numbers everywhere. */
export class SeededRandom implements Random {
  readonly #state = new Uint32Array(4);

  /** @param seed Any integer; it is spread over the state by splitmix32. */
  constructor(seed: number) {
    let z = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0;
      let x = z;
      x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
      x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
      this.#state[i] = (x ^ (x >>> 15)) >>> 0;
    }
  }

  next(): number {
    const s = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotateLeft(s[3]!, 11);
    return result;
  }
}

function rotateLeft(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}
