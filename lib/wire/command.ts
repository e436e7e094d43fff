/**
 * What the state machine is told: the payload of a `command` entry.
 *
 * ```text
 * offset  bytes  create database        captured frames
 *      0      1  kind = 1               kind = 2
 *      1      1  version = 1            version = 1
 *      2      1  0                      1 = first part of its batch, else 0
 *      3      1  0                      1 = last part of its batch, else 0
 *      4      4  database id            database id
 *      8      …  name (u32 length)      a chunk of frames, as the library drained it
 *      …      …  first page(s) of file
 * ```
 * All integers are little-endian.
 *
 * Now and then a frames command has version 2 and carries, before the chunk, the digest of the
 * database after an earlier entry: index (u64), digest (u64), pages (u32), 0 (u32). It says nothing
 * about the command itself.
 */
import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter, FormatError } from "../base/bytes.ts";

const KIND_CREATE = 1;
const KIND_FRAMES = 2;
const VERSION = 1;
const VERSION_WITH_DIGEST = 2;

/** Bytes before the chunk in a frames command, without and with a digest. */
export const FRAMES_HEADER_BYTES = 8;
export const FRAMES_HEADER_BYTES_MAX = 32;

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
    /** What the leader held after an earlier entry. */
    readonly claim: DigestClaim | undefined;
    readonly chunk: Uint8Array;
  };

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
export function framesHeaderBytes(claim: DigestClaim | undefined): number {
  return claim === undefined ? FRAMES_HEADER_BYTES : FRAMES_HEADER_BYTES_MAX;
}

/**
 * Builds a frames command around a chunk that was drained into `buffer`, at
 * {@linkcode framesHeaderBytes}; the result is a copy.
 */
export function encodeFrames(
  buffer: Uint8Array,
  chunkBytes: number,
  part: {
    readonly databaseId: number;
    readonly first: boolean;
    readonly last: boolean;
    readonly claim?: DigestClaim | undefined;
  },
): Uint8Array<ArrayBuffer> {
  assert(chunkBytes > 0, "a frames command needs a chunk");
  const { claim } = part;
  const size = framesHeaderBytes(claim) + chunkBytes;
  const payload = buffer.slice(0, size) as Uint8Array<ArrayBuffer>;
  const view = new DataView(payload.buffer);
  view.setUint8(0, KIND_FRAMES);
  view.setUint8(1, claim === undefined ? VERSION : VERSION_WITH_DIGEST);
  view.setUint8(2, part.first ? 1 : 0);
  view.setUint8(3, part.last ? 1 : 0);
  view.setUint32(4, part.databaseId, true);
  if (claim !== undefined) {
    view.setUint32(8, claim.index % 0x1_0000_0000, true);
    view.setUint32(12, Math.floor(claim.index / 0x1_0000_0000), true);
    view.setUint32(16, claim.low, true);
    view.setUint32(20, claim.high, true);
    view.setUint32(24, claim.pages, true);
    view.setUint32(28, 0, true);
  }
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
  const hasClaim = kind === KIND_FRAMES && version === VERSION_WITH_DIGEST;
  if (version !== VERSION && !hasClaim) {
    throw new FormatError(`Command has unknown version ${version}`);
  }
  const first = reader.u8() === 1;
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
      const claim = hasClaim ? readClaim(reader) : undefined;
      return {
        type: "frames",
        databaseId,
        first,
        last,
        claim,
        chunk: reader.raw(reader.remaining),
      };
    }
    default:
      throw new FormatError(`Command has unknown kind ${kind}`);
  }
}

function readClaim(reader: ByteReader): DigestClaim {
  const claim = { index: reader.u53(), low: reader.u32(), high: reader.u32(), pages: reader.u32() };
  if (reader.u32() !== 0) throw new FormatError("Reserved bytes are not 0");
  return claim;
}
