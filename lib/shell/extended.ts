/**
 * Non-negative numbers in the 80-bit floating point of x86: 64 bits of precision, rounding half to
 * even; pure. The range of exponents has no bound here, which no number of 64 bits comes near.
 */

/** The number `mantissa` · 2^`exponent`; the mantissa of a number but zero has 64 bits. */
export interface Extended {
  readonly mantissa: bigint;
  readonly exponent: number;
}

const PRECISION = 64;
const ZERO: Extended = { mantissa: 0n, exponent: 0 };

/** The exact value of a finite number that is not negative. */
export function fromNumber(value: number): Extended {
  if (value === 0) return ZERO;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & ((1n << 52n) - 1n);
  // Below 2^-1022 the leading bit is not implied (IEEE 754, subnormal numbers).
  return biased === 0
    ? rounded(fraction, -1074, false)
    : rounded(fraction | (1n << 52n), biased - 1075, false);
}

/** a · b */
export function times(a: Extended, b: Extended): Extended {
  return rounded(a.mantissa * b.mantissa, a.exponent + b.exponent, false);
}

/** a / b, where b is not zero. */
export function divide(a: Extended, b: Extended): Extended {
  const shift = 2 * PRECISION;
  const wide = a.mantissa << BigInt(shift);
  const quotient = wide / b.mantissa;
  const inexact = quotient * b.mantissa !== wide;
  return rounded(quotient, a.exponent - b.exponent - shift, inexact);
}

/** a + b */
export function plus(a: Extended, b: Extended): Extended {
  const exponent = Math.min(a.exponent, b.exponent);
  return rounded(aligned(a, exponent) + aligned(b, exponent), exponent, false);
}

/** a - b, where b is at most a. */
export function minus(a: Extended, b: Extended): Extended {
  const exponent = Math.min(a.exponent, b.exponent);
  return rounded(aligned(a, exponent) - aligned(b, exponent), exponent, false);
}

/** Whether a < b. */
export function isLess(a: Extended, b: Extended): boolean {
  const exponent = Math.min(a.exponent, b.exponent);
  return aligned(a, exponent) < aligned(b, exponent);
}

/** The largest integer that is at most `a`; `a` is small. */
export function wholePart(a: Extended): number {
  return Number(
    a.exponent >= 0 ? a.mantissa << BigInt(a.exponent) : a.mantissa >> BigInt(-a.exponent),
  );
}

function aligned(a: Extended, exponent: number): bigint {
  return a.mantissa === 0n ? 0n : a.mantissa << BigInt(a.exponent - exponent);
}

/** @param inexact Whether something below the last bit was cut off already. */
function rounded(mantissa: bigint, exponent: number, inexact: boolean): Extended {
  if (mantissa === 0n) return ZERO;
  const excess = mantissa.toString(2).length - PRECISION;
  if (excess <= 0) return { mantissa: mantissa << BigInt(-excess), exponent: exponent + excess };
  const kept = mantissa >> BigInt(excess);
  const cut = mantissa - (kept << BigInt(excess));
  const half = 1n << BigInt(excess - 1);
  const up = cut > half || (cut === half && (inexact || (kept & 1n) === 1n));
  if (!up) return { mantissa: kept, exponent: exponent + excess };
  const next = kept + 1n;
  return next >> BigInt(PRECISION) === 0n
    ? { mantissa: next, exponent: exponent + excess }
    : { mantissa: next >> 1n, exponent: exponent + excess + 1 };
}
