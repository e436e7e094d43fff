/** One byte of one of Raft's own files, chosen and changed. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { below, type Random } from "../../lib/base/random.ts";

/** Which file a byte lies in; each is hit equally often. */
export const FLIP_CLASSES = ["segment", "hard state", "identity", "checkpoint"] as const;
export type FlipClass = typeof FLIP_CLASSES[number];

/** A byte that was changed. */
export interface Flip {
  readonly class: FlipClass;
  readonly path: string;
  readonly offset: number;
  readonly before: number;
  readonly after: number;
}

const HEADER_BYTES = 8192;
/** What a file of the hard state says, and its checksum; behind it are zeros. */
const SLOT_BYTES = 84;

/** Changes a random byte in the data folder of a node that does not run. */
export function flipByte(folder: string, random: Random): Flip {
  const kind = FLIP_CLASSES[below(random, FLIP_CLASSES.length)]!;
  const paths = filesOf(folder, kind);
  const path = paths[below(random, paths.length)]!;
  const bytes = readFileSync(path);
  const offset = placeIn(kind, bytes, random);
  const before = bytes[offset]!;
  const after = before ^ (1 + below(random, 255));
  const file = openSync(path, "r+");
  try {
    writeSync(file, Uint8Array.of(after), 0, 1, offset);
  } finally {
    closeSync(file);
  }
  return { class: kind, path, offset, before, after };
}

function filesOf(folder: string, kind: FlipClass): string[] {
  const log = join(folder, "log");
  const twin = (name: string) => [name, `${name}.copy`].map((at) => join(folder, at));
  switch (kind) {
    case "segment":
      return readdirSync(log).filter((name) => name.endsWith(".segment"))
        .map((name) => join(log, name));
    case "hard state":
      return ["state.a", "state.b"].map((name) => join(log, name));
    case "identity":
      return twin("identity.json");
    case "checkpoint":
      return twin("checkpoint").filter((path) => existsSync(path));
  }
}

function placeIn(kind: FlipClass, bytes: Uint8Array, random: Random): number {
  if (kind === "segment") return placeInSegment(bytes, random);
  const meaningful = kind === "hard state" && below(random, 4) > 0;
  return below(random, meaningful ? SLOT_BYTES : bytes.length);
}

/** Mostly among the records, now and then in the header, or anywhere in the file. */
function placeInSegment(bytes: Uint8Array, random: Random): number {
  const choice = below(random, 10);
  if (choice === 0) return below(random, bytes.length);
  if (choice === 1) return below(random, HEADER_BYTES);
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  if (end <= HEADER_BYTES) return below(random, bytes.length);
  return HEADER_BYTES + below(random, end - HEADER_BYTES);
}
