/**
 * WebSocket frames (RFC 6455) as a server reads and writes them, without extensions. What the
 * document forbids is refused with the close code that it names; only text is understood.
 */
import { concat } from "../base/bytes.ts";

/** Close codes of RFC 6455, section 7.4.1. */
export const CLOSE = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  PROTOCOL: 1002,
  UNSUPPORTED: 1003,
  INVALID_DATA: 1007,
  POLICY: 1008,
  TOO_BIG: 1009,
  INTERNAL: 1011,
} as const;

/** Payload of a ping, a pong or a close. */
const CONTROL_BYTES_MAX = 125;
const FINAL = 0x80;
const RESERVED = 0x70;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const KEY_BYTES = 4;
const CONTINUATION = 0x0;
const TEXT = 0x1;
const BINARY = 0x2;
const CLOSING = 0x8;
const PING = 0x9;
const PONG = 0xa;
const CONTROL = 0x8;
const NO_BYTES = new Uint8Array(0);

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Thrown when what arrives breaks the protocol; the connection is closed with `closeCode`. */
export class WebSocketError extends Error {
  override readonly name = "WebSocketError";
  readonly closeCode: number;

  constructor(closeCode: number, message: string) {
    super(message);
    this.closeCode = closeCode;
  }
}

/** What a client sent. */
export type WebSocketEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "ping"; readonly payload: Uint8Array }
  | { readonly type: "pong" }
  /** `code` is undefined when the client gave none. */
  | { readonly type: "close"; readonly code: number | undefined };

/** The frame whose payload arrives. */
interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly sizeBytes: number;
  /** Four bytes. */
  readonly key: Uint8Array;
}

/** Reads the frames of a client from the pieces in which they arrive. */
export class WebSocketReader {
  readonly #messageBytesMax: number;
  /** What arrived and is not read yet. */
  #rest: Uint8Array = NO_BYTES;
  #frame: Frame | undefined;
  /** Payload of the frame at hand, when it came in more than one piece. */
  #payload: Gatherer | undefined;
  /** The message of which a frame has come, and not the last one. */
  #message: Gatherer | undefined;

  /** @param messageBytesMax Bound of one message, all its frames together. */
  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Bytes that wait to be read. */
  get restBytes(): number {
    return this.#rest.length;
  }

  /** Takes the next bytes of the connection, which belong to the reader from now on. */
  push(bytes: Uint8Array): void {
    this.#rest = this.#rest.length === 0 ? bytes : concat([this.#rest, bytes]);
  }

  /**
   * The next thing that the client said, in order; undefined when more bytes are needed.
   *
   * @throws {WebSocketError} after which nothing can be read any more.
   */
  next(): WebSocketEvent | undefined {
    for (;;) {
      this.#frame ??= this.#readHead();
      const frame = this.#frame;
      if (frame === undefined) return undefined;
      const payload = this.#readPayload(frame);
      if (payload === undefined) return undefined;
      this.#frame = undefined;
      const event = frame.opcode >= CONTROL
        ? controlEvent(frame.opcode, payload)
        : this.#dataEvent(frame, payload);
      if (event !== undefined) return event;
    }
  }

  #readHead(): Frame | undefined {
    const bytes = this.#rest;
    if (bytes.length < 2) return undefined;
    const [first, second] = bytes as unknown as [number, number];
    const opcode = first & 0x0f;
    const isFinal = (first & FINAL) !== 0;
    const length = second & 0x7f;
    this.#checkHead(first, second);
    const lengthBytes = length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0;
    const headBytes = 2 + lengthBytes + KEY_BYTES;
    if (bytes.length < headBytes) return undefined;
    const sizeBytes = lengthBytes === 0 ? length : readLength(bytes, lengthBytes);
    const beforeBytes = opcode >= CONTROL ? 0 : this.#message?.sizeBytes ?? 0;
    if (beforeBytes + sizeBytes > this.#messageBytesMax) {
      const message = `A message may have ${this.#messageBytesMax} bytes`;
      throw new WebSocketError(CLOSE.TOO_BIG, message);
    }
    const key = bytes.slice(headBytes - KEY_BYTES, headBytes);
    this.#rest = bytes.subarray(headBytes);
    return { opcode, isFinal, sizeBytes, key };
  }

  /** Refuses a frame by its first two bytes. */
  #checkHead(first: number, second: number): void {
    const opcode = first & 0x0f;
    const isFinal = (first & FINAL) !== 0;
    if ((first & RESERVED) !== 0) throw violation("A reserved bit is set");
    if ((second & MASKED) === 0) throw violation("A frame of a client is not masked");
    if (opcode >= CONTROL) {
      if (opcode > PONG) throw violation(`The opcode ${opcode} is unknown`);
      if (!isFinal) throw violation("A control frame is fragmented");
      if ((second & 0x7f) > CONTROL_BYTES_MAX) throw violation("A control frame is too long");
      return;
    }
    if (opcode > BINARY) throw violation(`The opcode ${opcode} is unknown`);
    if (opcode === BINARY) {
      throw new WebSocketError(CLOSE.UNSUPPORTED, "Only text messages are understood");
    }
    const continues = opcode === CONTINUATION;
    if (continues && this.#message === undefined) {
      throw violation("A frame continues a message that was not begun");
    }
    if (!continues && this.#message !== undefined) {
      throw violation("A message begins before the end of the one before");
    }
  }

  /** The payload of the frame, unmasked; undefined when it has not all arrived. */
  #readPayload(frame: Frame): Uint8Array | undefined {
    const beforeBytes = this.#payload?.sizeBytes ?? 0;
    const size = Math.min(this.#rest.length, frame.sizeBytes - beforeBytes);
    const piece = this.#rest.subarray(0, size);
    this.#rest = size === this.#rest.length ? NO_BYTES : this.#rest.subarray(size);
    unmask(piece, frame.key, beforeBytes);
    if (beforeBytes + size < frame.sizeBytes) {
      if (size > 0) (this.#payload ??= new Gatherer()).add(piece);
      return undefined;
    }
    if (this.#payload === undefined) return piece;
    this.#payload.add(piece);
    const payload = this.#payload.bytes;
    this.#payload = undefined;
    return payload;
  }

  #dataEvent(frame: Frame, payload: Uint8Array): WebSocketEvent | undefined {
    if (!frame.isFinal) {
      (this.#message ??= new Gatherer()).add(payload);
      return undefined;
    }
    if (this.#message === undefined) return { type: "text", text: decode(payload) };
    this.#message.add(payload);
    const text = decode(this.#message.bytes);
    this.#message = undefined;
    return { type: "text", text };
  }
}

/** Gathers pieces, however small they are, in memory that doubles. */
class Gatherer {
  #bytes: Uint8Array = NO_BYTES;
  sizeBytes = 0;

  add(piece: Uint8Array): void {
    const needed = this.sizeBytes + piece.length;
    if (needed > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      bytes.set(this.bytes);
      this.#bytes = bytes;
    }
    this.#bytes.set(piece, this.sizeBytes);
    this.sizeBytes = needed;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.sizeBytes);
  }
}

function violation(message: string): WebSocketError {
  return new WebSocketError(CLOSE.PROTOCOL, message);
}

/** The length behind the first two bytes; it must be written in as few bytes as it takes. */
function readLength(bytes: Uint8Array, lengthBytes: number): number {
  let length = 0;
  for (let at = 2; at < 2 + lengthBytes; at++) length = length * 256 + bytes[at]!;
  if (lengthBytes === 8 && bytes[2]! >= 0x80) throw violation("A length has its first bit set");
  if (length < (lengthBytes === 2 ? LENGTH_16 : 0x1_0000)) {
    throw violation("A length takes more bytes than it needs");
  }
  return length;
}

/** @param offset Where in the payload of the frame the bytes begin. */
function unmask(bytes: Uint8Array, key: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at]! ^= key[(at + offset) & 3]!;
}

function decode(payload: Uint8Array): string {
  try {
    return utf8.decode(payload);
  } catch {
    throw new WebSocketError(CLOSE.INVALID_DATA, "A text is not UTF-8");
  }
}

function controlEvent(opcode: number, payload: Uint8Array): WebSocketEvent {
  if (opcode === PING) return { type: "ping", payload };
  if (opcode === PONG) return { type: "pong" };
  if (payload.length === 0) return { type: "close", code: undefined };
  if (payload.length === 1) throw violation("A close frame has half of a code");
  const code = payload[0]! * 256 + payload[1]!;
  if (!mayBeSent(code)) throw violation(`The close code ${code} may not be sent`);
  // The reason is for people, and still must be text.
  decode(payload.subarray(2));
  return { type: "close", code };
}

/** Codes that are defined, registered or private; the others only name what was not sent. */
function mayBeSent(code: number): boolean {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** The head of a frame that holds a whole text message of `sizeBytes`. */
export function textFrameHead(sizeBytes: number): Uint8Array {
  return frameHead(TEXT, sizeBytes);
}

/** A ping, without a payload. */
export const PING_FRAME: Uint8Array = frameHead(PING, 0);

/** The answer to a ping; it carries the payload of the ping. */
export function pongFrame(payload: Uint8Array): Uint8Array {
  return concat([frameHead(PONG, payload.length), payload]);
}

/**
 * A close frame.
 *
 * @param code Undefined for none, which answers a close without one.
 * @param reason Cut where it is too long.
 */
export function closeFrame(code: number | undefined, reason: string): Uint8Array {
  if (code === undefined) return frameHead(CLOSING, 0);
  const text = new Uint8Array(CONTROL_BYTES_MAX - 2);
  // It writes whole characters only.
  const { written } = encoder.encodeInto(reason, text);
  const head = frameHead(CLOSING, 2 + written);
  return concat([head, new Uint8Array([code >> 8, code & 0xff]), text.subarray(0, written)]);
}

function frameHead(opcode: number, sizeBytes: number): Uint8Array {
  const lengthBytes = sizeBytes < LENGTH_16 ? 0 : sizeBytes < 0x1_0000 ? 2 : 8;
  const head = new Uint8Array(2 + lengthBytes);
  head[0] = FINAL | opcode;
  head[1] = lengthBytes === 0 ? sizeBytes : lengthBytes === 2 ? LENGTH_16 : LENGTH_64;
  let left = sizeBytes;
  for (let at = head.length - 1; at >= 2; at--) {
    head[at] = left % 256;
    left = Math.floor(left / 256);
  }
  return head;
}
