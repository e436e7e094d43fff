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
 */
import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter, FormatError } from "../base/bytes.ts";

const KIND_CREATE = 1;
const KIND_FRAMES = 2;
const VERSION = 1;

/** Bytes before the chunk in a frames command. */
export const FRAMES_HEADER_BYTES = 8;

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

/**
 * Builds a frames command around a chunk that was drained into `buffer`, at
 * {@linkcode FRAMES_HEADER_BYTES}; the result is a copy.
 */
export function encodeFrames(
  buffer: Uint8Array,
  chunkBytes: number,
  part: { readonly databaseId: number; readonly first: boolean; readonly last: boolean },
): Uint8Array<ArrayBuffer> {
  assert(chunkBytes > 0, "a frames command needs a chunk");
  const payload = buffer.slice(0, FRAMES_HEADER_BYTES + chunkBytes) as Uint8Array<ArrayBuffer>;
  const view = new DataView(payload.buffer);
  view.setUint8(0, KIND_FRAMES);
  view.setUint8(1, VERSION);
  view.setUint8(2, part.first ? 1 : 0);
  view.setUint8(3, part.last ? 1 : 0);
  view.setUint32(4, part.databaseId, true);
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
  if (version !== VERSION) throw new FormatError(`Command has unknown version ${version}`);
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
    case KIND_FRAMES:
      return { type: "frames", databaseId, first, last, chunk: reader.raw(reader.remaining) };
    default:
      throw new FormatError(`Command has unknown kind ${kind}`);
  }
}
