/**
 * Frames on a connection between nodes. Header, 16 bytes, little-endian:
 *
 * | offset | size | field                                                                  |
 * | ------ | ---- | ---------------------------------------------------------------------- |
 * | 0      | 4    | size of the body                                                       |
 * | 4      | 4    | how much of the body, from its start, the checksum covers              |
 * | 8      | 1    | type                                                                   |
 * | 9      | 1    | flags, 0                                                               |
 * | 10     | 2    | low half of the CRC-32C of bytes 0 to 9                                |
 * | 12     | 4    | CRC-32C of bytes 0 to 11 and of the covered part of the body           |
 *
 * What the checksum leaves out are the bodies of log entries: each carries its own, and hashing a
 * payload once per hop is enough. The short checksum finds a damaged size before it is waited for.
 */
import { type ByteWriter, FormatError } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";

export const FRAME_HEADER_BYTES = 16;

/** The types of frames as numbers on the wire; numbers are never reused. */
export const FRAME_TYPES = {
  hello: 1,
  refusal: 2,
  keepalive: 3,
  message: 4,
  control_request: 5,
  control_response: 6,
  page_request: 7,
  page_response: 8,
} as const;

export type FrameType = keyof typeof FRAME_TYPES;

/** One frame, checked. */
export interface Frame {
  readonly type: FrameType;
  /**
   * A view of received memory, which is never written again. It may share a larger buffer with
   * other frames: who keeps a small part for long copies it.
   */
  readonly body: Uint8Array;
}

const TYPES = new Map(
  Object.entries(FRAME_TYPES).map(([type, code]) => [code as number, type as FrameType]),
);

const SIZE_AT = 0;
const CHECKED_AT = 4;
const HEADER_CHECK_END = 10;
const CHECKSUM_AT = 12;

/**
 * Opens a frame at the end of `writer`; the body is written next, then {@linkcode endFrame} called.
 *
 * @returns Where the frame starts.
 */
export function beginFrame(writer: ByteWriter, type: FrameType): number {
  const start = writer.length;
  writer.u32(0).u32(0).u8(FRAME_TYPES[type]).u8(0).u16(0).u32(0);
  return start;
}

/**
 * Closes the frame that was opened at `start`.
 *
 * @param checkedEnd Where the part of the body that the checksum covers ends.
 */
export function endFrame(writer: ByteWriter, start: number, checkedEnd = writer.length): void {
  const bodyStart = start + FRAME_HEADER_BYTES;
  writer.setU32(start + SIZE_AT, writer.length - bodyStart);
  writer.setU32(start + CHECKED_AT, checkedEnd - bodyStart);
  const bytes = writer.view();
  const headerCheck = crc32c(bytes, start, start + HEADER_CHECK_END) & 0xffff;
  bytes[start + HEADER_CHECK_END] = headerCheck & 0xff;
  bytes[start + HEADER_CHECK_END + 1] = headerCheck >>> 8;
  const headCrc = crc32c(bytes, start, start + CHECKSUM_AT);
  writer.setU32(start + CHECKSUM_AT, crc32c(bytes, bodyStart, checkedEnd, headCrc));
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #buffer: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** Whether `#buffer` was made here, so that bytes after `#end` may be written. */
  #isOwned = false;
  #bodyBytesMax: number;

  /** @param bodyBytesMax Largest body to accept. */
  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Sets the largest body to accept, from the next frame on. */
  set bodyBytesMax(value: number) {
    this.#bodyBytesMax = value;
  }

  /** Memory held for frames that are not whole yet. */
  get reservedBytes(): number {
    return this.#start === this.#end ? 0 : this.#buffer.length;
  }

  /** Adds bytes of the stream, which must not be changed afterwards. */
  push(chunk: Uint8Array): void {
    const unread = this.#end - this.#start;
    if (unread === 0) {
      this.#buffer = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      this.#isOwned = false;
      return;
    }
    if (!this.#isOwned || this.#end + chunk.length > this.#buffer.length) {
      this.#move(unread, unread + chunk.length);
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /**
   * The next whole frame, or undefined when more bytes are needed.
   *
   * @throws {FormatError} when the bytes are no frame; the stream is lost from there on.
   */
  next(): Frame | undefined {
    const bytes = this.#buffer;
    const start = this.#start;
    if (this.#end - start < FRAME_HEADER_BYTES) return undefined;
    const type = this.#checkHeader(start);
    const sizeBytes = readU32(bytes, start + SIZE_AT);
    const bodyStart = start + FRAME_HEADER_BYTES;
    if (this.#end - bodyStart < sizeBytes) return undefined;
    const checkedEnd = bodyStart + readU32(bytes, start + CHECKED_AT);
    const headCrc = crc32c(bytes, start, start + CHECKSUM_AT);
    if (crc32c(bytes, bodyStart, checkedEnd, headCrc) !== readU32(bytes, start + CHECKSUM_AT)) {
      throw new FormatError(`A frame of type ${type} does not match its checksum`);
    }
    this.#start = bodyStart + sizeBytes;
    return { type, body: bytes.subarray(bodyStart, this.#start) };
  }

  #checkHeader(start: number): FrameType {
    const bytes = this.#buffer;
    const check = bytes[start + HEADER_CHECK_END]! | (bytes[start + HEADER_CHECK_END + 1]! << 8);
    if ((crc32c(bytes, start, start + HEADER_CHECK_END) & 0xffff) !== check) {
      throw new FormatError("Bytes that are no frame");
    }
    const sizeBytes = readU32(bytes, start + SIZE_AT);
    if (sizeBytes > this.#bodyBytesMax) {
      throw new FormatError(`A frame of ${sizeBytes} bytes; at most ${this.#bodyBytesMax}`);
    }
    if (readU32(bytes, start + CHECKED_AT) > sizeBytes) {
      throw new FormatError("The checksum of a frame covers more than its body");
    }
    const type = TYPES.get(bytes[start + 8]!);
    if (type === undefined) throw new FormatError(`Unknown type of frame: ${bytes[start + 8]}`);
    if (bytes[start + 9] !== 0) throw new FormatError(`Unknown flags: ${bytes[start + 9]}`);
    return type;
  }

  /**
   * Moves what is unread to memory of its own. It grows with what has arrived, so that a header
   * alone cannot make a node reserve memory, and towards the size of the frame under way.
   */
  #move(unread: number, neededBytes: number): void {
    let capacity = neededBytes;
    if (unread >= FRAME_HEADER_BYTES) {
      const frameBytes = FRAME_HEADER_BYTES + readU32(this.#buffer, this.#start + SIZE_AT);
      capacity = Math.max(neededBytes, Math.min(frameBytes, 2 * neededBytes));
    }
    const buffer = new Uint8Array(capacity);
    buffer.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = unread;
    this.#isOwned = true;
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>>
    0;
}
