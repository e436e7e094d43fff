/**
 * A small file that is kept twice, with a copy beside it, so that damage to one of the two is
 * mended from the other. The copy is written first: what is written counts once the file itself has
 * it, and until then, and after a crash in between, either of them tells a truth.
 */
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk } from "./disk.ts";

/** Larger ones are damaged: most have a few hundred bytes, and one may name all databases. */
const TWIN_BYTES_MAX = 1024 * 1024;

/** Why a text cannot be trusted. */
export class Damage {
  /** Offset of the first byte that is wrong, or of the checksum that does not fit. */
  readonly offset: number;
  readonly expected: string;

  constructor(offset: number, expected: string) {
    this.offset = offset;
    this.expected = expected;
  }
}

/** One of the two files, and what should be in it. */
export interface TwinProblem {
  readonly path: string;
  readonly offset: number;
  readonly expected: string;
}

/** What the two files hold. */
export interface Twin<T> {
  /** Undefined when neither file is there. */
  readonly value: T | undefined;
  /** The file, or its copy, where it is not what it should be. */
  readonly problems: readonly TwinProblem[];
}

/** Reads a text with its checksum; throws only what is no damage, such as a newer format. */
export type DecodeTwin<T> = (path: string, text: string) => T | Damage;

/** The copy of the file at `path`. */
export function copyPath(path: string): string {
  return `${path}.copy`;
}

/**
 * Reads both files and changes neither.
 *
 * @throws {DatabaseError} `CORRUPT` when neither can be trusted; what `decode` throws.
 */
export function readTwin<T>(disk: Disk, path: string, decode: DecodeTwin<T>): Twin<T> {
  const { value, problems } = read(disk, path, decode);
  return { value, problems };
}

/**
 * Reads both files and writes anew the one that is not what it should be.
 *
 * @returns The content, undefined when neither file is there, and what was mended.
 * @throws {DatabaseError} `CORRUPT` when neither can be trusted; what `decode` throws.
 */
export function mendTwin<T>(disk: Disk, path: string, decode: DecodeTwin<T>): Twin<T> {
  const { value, text, problems } = read(disk, path, decode);
  for (const problem of problems) replace(disk, problem.path, text!);
  return { value, problems };
}

/** Replaces both files, one after the other; the new text is durable when this returns. */
export function writeTwin(disk: Disk, path: string, text: string): void {
  for (const at of [copyPath(path), path]) replace(disk, at, text);
}

/**
 * As {@linkcode writeTwin}, with one write and one sync for each file that is as long as the text.
 * A crash in the middle may damage one of the two, never both.
 */
export function overwriteTwin(disk: Disk, path: string, text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (const at of [copyPath(path), path]) {
    if (!overwrite(disk, at, bytes)) replace(disk, at, text);
  }
}

function read<T>(
  disk: Disk,
  path: string,
  decode: DecodeTwin<T>,
): Twin<T> & { readonly text: string | undefined } {
  const problems: TwinProblem[] = [];
  let trusted: { readonly value: T; readonly text: string } | undefined;
  let missing = 0;
  for (const at of [path, copyPath(path)]) {
    const text = readText(disk, at);
    if (text === undefined) missing++;
    const value = typeof text === "string" ? decode(at, text) : text ?? new Damage(0, "a file");
    if (value instanceof Damage) {
      problems.push({ path: at, offset: value.offset, expected: value.expected });
    } else if (trusted === undefined) trusted = { value, text: text as string };
    else if (text !== trusted.text) {
      problems.push({ path: at, offset: 0, expected: `a copy of ${path}` });
    }
  }
  if (trusted !== undefined) return { ...trusted, problems };
  if (missing === 2) return { value: undefined, text: undefined, problems: [] };
  throw corrupt(problems);
}

function corrupt(problems: readonly TwinProblem[]): DatabaseError {
  const places = problems.map(({ path, offset, expected }) =>
    `${path} is damaged at offset ${offset}: expected ${expected}`
  );
  return new DatabaseError("CORRUPT", places.join("; "), {
    hint: "Nothing was changed. Keep a copy of the data folder; " +
      "then remove this node from the cluster and add it again with an empty folder.",
  });
}

/** @returns Undefined when there is no file. */
function readText(disk: Disk, path: string): string | Damage | undefined {
  if (!disk.exists(path)) return undefined;
  try {
    const file = disk.open(path, { create: false });
    try {
      const bytes = file.read(0, TWIN_BYTES_MAX);
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } finally {
      file.close();
    }
  } catch (error) {
    // Bytes that are no UTF-8, or a sector that cannot be read.
    return new Damage(0, `a readable text (${messageOf(error)})`);
  }
}

/** @returns False when there is no file of that length, and nothing was done. */
function overwrite(disk: Disk, path: string, bytes: Uint8Array): boolean {
  if (!disk.exists(path)) return false;
  const file = disk.open(path, { create: false });
  try {
    if (file.size() !== bytes.length) return false;
    file.write(0, bytes);
    file.sync();
    return true;
  } finally {
    file.close();
  }
}

/** Either the old text or the new one is there, whatever happens. */
function replace(disk: Disk, path: string, text: string): void {
  const temporary = `${path}.new`;
  const bytes = new TextEncoder().encode(text);
  const file = disk.open(temporary, { create: true });
  try {
    file.truncate(0);
    file.write(0, bytes);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, path);
  disk.syncFolder(path.slice(0, path.lastIndexOf("/")));
}
