/**
 * What the state machine is told: the payload of a `command` entry.
 *
 * ```text
 * offset  bytes  create database        captured frames                       drop database
 *      0      1  kind = 1               kind = 2                              kind = 3
 *      1      1  version = 1            version = 1                           version = 1
 *      2      1  0                      1 first part of its batch             0
 *                                       + 2 batches of others are open
 *      3      1  0                      1 = last part of its batch, else 0    0
 *      4      4  database id            database id                           database id
 *      8      …  name (u32 length)      a chunk of frames, as it was drained
 *      …      …  first page(s) of file
 * ```
 * All integers are little-endian. A batch of another database is *open* at an entry when some of
 * its parts come before, and its last one behind.
 *
 * A frames command may carry more before the chunk; its version says what, as a sum:
 *
 * - 1, always;
 * - 1 for the digest of the database after an earlier entry: index (u64), digest (u64), pages
 *   (u32), 0 (u32). It says nothing about the command itself;
 * - 2 for the time, before the digest: milliseconds since 1970 (u64) on the clock of the leader,
 *   after its transactions ended and before anybody was told so.
 */
import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter, FormatError } from "../base/bytes.ts";

const KIND_CREATE = 1;
const KIND_FRAMES = 2;
const KIND_DROP = 3;
const FLAG_FIRST = 1;
const FLAG_INTERLEAVED = 2;
const VERSION = 1;
const WITH_DIGEST = 1;
const WITH_TIME = 2;
const DIGEST_BYTES = 24;
const TIME_BYTES = 8;

/** Bytes before the chunk in a frames command that carries nothing else. */
export const FRAMES_HEADER_BYTES = 8;

/** The database that every cluster begins with. Ids go up from it and are never used again. */
export const MAIN_DATABASE_ID = 1;
export const MAIN_DATABASE_NAME = "main";

/** A sum over the content of all pages of a database; equal on replicas that hold the same. */
export interface PageDigest {
  /** The lower and the upper half of the sum. */
  readonly low: number;
  readonly high: number;
  /** Size of the database in pages. */
  readonly pages: number;
}

/** What a database is after an entry. */
export interface DigestClaim extends PageDigest {
  readonly index: number;
}

/** One command of the replicated state machine. */
export type Command =
  | {
    readonly type: "create";
    readonly databaseId: number;
    readonly name: string;
    /** The bytes every replica's database file starts from. */
    readonly image: Uint8Array;
  }
  | {
    readonly type: "frames";
    readonly databaseId: number;
    readonly first: boolean;
    readonly last: boolean;
    /** Whether a batch of another database is open here. */
    readonly interleaved: boolean;
    /** What the leader held after an earlier entry. */
    readonly claim: DigestClaim | undefined;
    /** When its transactions ended, in milliseconds since 1970. */
    readonly wallMs: number | undefined;
    readonly chunk: Uint8Array;
  }
  | { readonly type: "drop"; readonly databaseId: number };

/** Encodes the end of a database. */
export function encodeDrop(databaseId: number): Uint8Array<ArrayBuffer> {
  return new ByteWriter(8).u8(KIND_DROP).u8(VERSION).u16(0).u32(databaseId).finish();
}

/** What a frames command carries beside its chunk. */
export interface FramesExtras {
  readonly claim?: DigestClaim | undefined;
  readonly wallMs?: number | undefined;
}

/** Encodes the creation of a database. */
export function encodeCreate(
  databaseId: number,
  name: string,
  image: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return new ByteWriter(image.length + 64)
    .u8(KIND_CREATE).u8(VERSION).u16(0).u32(databaseId)
    .text(name).raw(image)
    .finish();
}

/** Bytes before the chunk in a frames command. */
export function framesHeaderBytes({ claim, wallMs }: FramesExtras): number {
  return FRAMES_HEADER_BYTES + (claim === undefined ? 0 : DIGEST_BYTES) +
    (wallMs === undefined ? 0 : TIME_BYTES);
}

/**
 * Builds a frames command around a chunk that was drained into `buffer`, at
 * {@linkcode framesHeaderBytes}; the result is a copy.
 */
export function encodeFrames(
  buffer: Uint8Array,
  chunkBytes: number,
  part: FramesExtras & {
    readonly databaseId: number;
    readonly first: boolean;
    readonly last: boolean;
    readonly interleaved?: boolean;
  },
): Uint8Array<ArrayBuffer> {
  assert(chunkBytes > 0, "a frames command needs a chunk");
  const { claim, wallMs } = part;
  const headerBytes = framesHeaderBytes(part);
  const payload = buffer.slice(0, headerBytes + chunkBytes) as Uint8Array<ArrayBuffer>;
  const writer = new ByteWriter(headerBytes);
  const version = VERSION + (claim === undefined ? 0 : WITH_DIGEST) +
    (wallMs === undefined ? 0 : WITH_TIME);
  const interleaved = part.interleaved === true ? FLAG_INTERLEAVED : 0;
  const flags = (part.first ? FLAG_FIRST : 0) + interleaved;
  writer.u8(KIND_FRAMES).u8(version).u8(flags).u8(part.last ? 1 : 0);
  writer.u32(part.databaseId);
  if (wallMs !== undefined) writer.u53(wallMs);
  if (claim !== undefined) {
    writer.u53(claim.index).u32(claim.low).u32(claim.high).u32(claim.pages).u32(0);
  }
  payload.set(writer.view());
  return payload;
}

/**
 * Decodes the payload of a command entry. Byte strings in the result share memory with `payload`.
 *
 * @throws {FormatError} when the bytes are of another form or a newer version.
 */
export function decodeCommand(payload: Uint8Array): Command {
  const reader = new ByteReader(payload);
  const kind = reader.u8();
  const version = reader.u8();
  const extras = version - VERSION;
  if (extras < 0 || extras > (kind === KIND_FRAMES ? WITH_DIGEST + WITH_TIME : 0)) {
    throw new FormatError(`Command has unknown version ${version}`);
  }
  const flags = reader.u8();
  const last = reader.u8() === 1;
  const databaseId = reader.u32();
  switch (kind) {
    case KIND_CREATE:
      return {
        type: "create",
        databaseId,
        name: reader.text(),
        image: reader.raw(reader.remaining),
      };
    case KIND_FRAMES: {
      const wallMs = (extras & WITH_TIME) === 0 ? undefined : reader.u53();
      const claim = (extras & WITH_DIGEST) === 0 ? undefined : readClaim(reader);
      return {
        type: "frames",
        databaseId,
        first: (flags & FLAG_FIRST) !== 0,
        last,
        interleaved: (flags & FLAG_INTERLEAVED) !== 0,
        claim,
        wallMs,
        chunk: reader.raw(reader.remaining),
      };
    }
    case KIND_DROP:
      return { type: "drop", databaseId };
    default:
      throw new FormatError(`Command has unknown kind ${kind}`);
  }
}

function readClaim(reader: ByteReader): DigestClaim {
  const claim = { index: reader.u53(), low: reader.u32(), high: reader.u32(), pages: reader.u32() };
  if (reader.u32() !== 0) throw new FormatError("Reserved bytes are not 0");
  return claim;
}
