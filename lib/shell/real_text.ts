/**
 * REAL values as the sqlite3 shell prints them, to the last digit; pure.
 *
 * SQLite (3.40, `printf.c`) works in the 80-bit floating point of x86, whose rounding shows in the
 * last of 20 digits. So the same steps are taken here, in the same precision.
 */
import {
  divide,
  type Extended,
  fromNumber,
  isLess,
  minus,
  plus,
  times,
  wholePart,
} from "./extended.ts";

/** Digits that SQLite makes out of the value; zeros follow. */
const DIGITS_MAX = 26;

/**
 * The text of a REAL with at most `digits` significant digits: always with a decimal point, with
 * an exponent below 1e-4 and from 10^digits on.
 */
export function realText(value: number, digits: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value < 0 ? "-Inf" : "Inf";
  if (value === 0) return "0.0";
  const sign = value < 0 ? "-" : "";
  const decimal = quickDecimal(Math.abs(value), digits) ?? decimalOf(Math.abs(value), digits);
  const exponent = decimal.exponent;
  const significant = decimal.digits.replace(/0+$/, "");
  if (exponent < -4 || exponent >= digits) {
    const power = Math.abs(exponent).toString().padStart(2, "0");
    const rest = significant.slice(1) || "0";
    return `${sign}${significant[0]}.${rest}e${exponent < 0 ? "-" : "+"}${power}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${significant}`;
  const whole = significant.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${significant.slice(exponent + 1) || "0"}`;
}

/** Significant digits, the first of them before the point, and a power of ten. */
interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

/** Most values are short decimals, and then every way of rounding gives the same digits. */
function quickDecimal(value: number, digits: number): Decimal | undefined {
  if (digits > 15) return undefined;
  const text = value.toExponential(digits - 1);
  if (Number(text) !== value) return undefined;
  const [mantissa, exponent] = text.split("e");
  return { digits: mantissa!.replace(".", ""), exponent: Number(exponent) };
}

const ONE = fromNumber(1);
const TEN = fromNumber(10);
const TENTH = fromNumber(0.1);
/** Steps towards a value below ten, from above and from below. */
const DOWN = [[fromNumber(1e100), 100], [fromNumber(1e10), 10], [TEN, 1]] as const;
const UP = [[fromNumber(1e-8), fromNumber(1e8), 8], [ONE, TEN, 1]] as const;

function decimalOf(value: number, digits: number): Decimal {
  let rest = fromNumber(value);
  let exponent = 0;
  let scale = ONE;
  for (const [factor, power] of DOWN) {
    while (!isLess(rest, times(factor, scale))) {
      scale = times(scale, factor);
      exponent += power;
    }
  }
  rest = divide(rest, scale);
  for (const [bound, factor, power] of UP) {
    while (isLess(rest, bound)) {
      rest = times(rest, factor);
      exponent -= power;
    }
  }
  rest = plus(rest, halfOfLast(digits));
  if (!isLess(rest, TEN)) {
    rest = times(rest, TENTH);
    exponent++;
  }
  let text = "";
  for (let i = 0; i < Math.min(digits, DIGITS_MAX); i++) {
    const digit = wholePart(rest);
    text += digit;
    rest = times(minus(rest, fromNumber(digit)), TEN);
  }
  return { digits: text, exponent };
}

/** Half of the last digit's weight, computed in double precision as SQLite does. */
function halfOfLast(digits: number): Extended {
  let places = digits - 1;
  let half = Number(`5e-${(places % 10) + 1}`);
  for (; places >= 10; places -= 10) half *= 1e-10;
  return fromNumber(half);
}
