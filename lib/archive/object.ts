/** Objects of an archive on their way into a store and out of it: packed, sealed, and verified. */
import { FormatError } from "../base/bytes.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { ARCHIVE_OBJECT_BYTES_MAX, ARCHIVE_OVERHEAD_BYTES } from "../base/limits.ts";
import { pack, unpack } from "../io/gzip.ts";
import { sha256Hex } from "../io/hash.ts";
import type { ObjectStore } from "../io/object_store.ts";
import {
  type ArchiveKind,
  type ArchiveObject,
  decodeObject,
  encodeObject,
  SEAL_BYTES,
} from "../wire/archive.ts";

const EMPTY = new Uint8Array(0);

/** An object as it is stored. */
export interface SealedObject {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What it ends with, in hexadecimal. */
  readonly sha256: string;
}

/** An object that was read, and is whole. */
export interface OpenedObject {
  readonly head: Uint8Array;
  /** Unpacked. */
  readonly body: Uint8Array;
  readonly sha256: string;
}

/** Which object is meant. */
export interface ObjectPlace {
  readonly store: ObjectStore;
  readonly clusterId: string;
  readonly key: string;
}

/** Packs the body, if there is one, and seals all of it. */
export async function sealObject(object: ArchiveObject): Promise<SealedObject> {
  const body = object.body.length === 0 ? EMPTY : await pack(object.body);
  const bytes = encodeObject({ ...object, body });
  const sealAt = bytes.length - SEAL_BYTES;
  const sha256 = await sha256Hex(bytes.subarray(0, sealAt));
  bytes.set(Uint8Array.fromHex(sha256), sealAt);
  return { bytes, sha256 };
}

/**
 * Reads an object and verifies it.
 *
 * @throws {DatabaseError} `CORRUPT`, naming the object, when it is missing, damaged, or of another
 * kind or cluster; those of the store.
 */
export async function openObject(place: ObjectPlace, kind: ArchiveKind): Promise<OpenedObject> {
  const bytes = await place.store.get(place.key, ARCHIVE_OBJECT_BYTES_MAX + ARCHIVE_OVERHEAD_BYTES);
  if (bytes === undefined) throw damaged(place, "is missing");
  const content = bytes.subarray(0, Math.max(0, bytes.length - SEAL_BYTES));
  const sha256 = await sha256Hex(content);
  if (bytes.subarray(content.length).toHex() !== sha256) {
    throw damaged(place, "is damaged: its checksum does not fit");
  }
  const object = parse(place, () => decodeObject(content));
  if (object.kind !== kind) throw damaged(place, `holds ${object.kind}, not ${kind}`);
  if (object.clusterId !== place.clusterId) {
    throw damaged(place, `belongs to the cluster ${object.clusterId}`);
  }
  try {
    const { head, body } = object;
    return {
      head,
      body: body.length === 0 ? body : await unpack(body, ARCHIVE_OBJECT_BYTES_MAX),
      sha256,
    };
  } catch (error) {
    throw damaged(place, `is damaged: ${messageOf(error)}`);
  }
}

/** Reads a part of an object. @throws {DatabaseError} `CORRUPT` when it is of another form. */
export function parse<T>(place: ObjectPlace, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw damaged(place, `is damaged: ${error.message}`);
  }
}

/** The error that names an object of an archive. */
export function damaged({ store, key }: ObjectPlace, how: string): DatabaseError {
  return new DatabaseError("CORRUPT", `${store.where}: ${key} ${how}`);
}
