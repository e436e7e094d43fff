/**
 * As much of WebSocket as a load generator needs (RFC 6455): frames that are built once and patched
 * in place, so their mask is zero, and answers of which only the last of a group is waited for.
 */
import type { OnResponse } from "./response_parser.ts";

const TEXT = 0x81;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const ZERO_MASK = [0, 0, 0, 0];
const HEADER_END = Buffer.from("\r\n\r\n");
const OK = 200;

/** What opens a connection. @param host The value of the Host header. */
export function openingOf(path: string, host: string): Buffer {
  const head = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n` +
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: hrana2\r\n\r\n";
  return Buffer.concat([Buffer.from(head), framesOf([`{"type":"hello","jwt":null}`])]);
}

/** Messages of a client, as frames; at most 64 KiB each. */
export function framesOf(messages: readonly string[]): Buffer {
  return Buffer.concat(messages.flatMap((message) => {
    const payload = Buffer.from(message);
    const { length } = payload;
    const size = length < LENGTH_16
      ? [MASKED | length]
      : [MASKED | LENGTH_16, length >> 8, length & 0xff];
    return [Buffer.from([TEXT, ...size, ...ZERO_MASK]), payload];
  }));
}

/** Splits what a server sends into messages, behind the head of its reply and its hello. */
export class SocketParser {
  readonly #messagesEach: number;
  readonly #onResponse: OnResponse;
  #pending: Buffer = Buffer.alloc(0);
  #isOpen = false;
  /** Messages since the last answer; the hello comes before all. */
  #messages: Buffer[] = [];
  #saidHello = false;

  /** @param messagesEach Messages that answer one request of the load. */
  constructor(messagesEach: number, onResponse: OnResponse) {
    this.#messagesEach = messagesEach;
    this.#onResponse = onResponse;
  }

  /** Takes the next bytes of the connection. */
  push(chunk: Buffer): void {
    let rest = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    if (!this.#isOpen) {
      const end = rest.indexOf(HEADER_END);
      if (end >= 0 && !rest.toString("latin1", 0, 12).endsWith("101")) {
        throw new Error(`There is no WebSocket: ${rest.toString("latin1", 0, 300)}`);
      }
      this.#isOpen = end >= 0;
      rest = this.#isOpen ? rest.subarray(end + HEADER_END.length) : rest;
    }
    while (this.#isOpen) {
      const frame = readFrame(rest);
      if (frame === undefined) break;
      this.#take(frame.payload);
      rest = rest.subarray(frame.end);
    }
    // The buffer of the socket is used again.
    this.#pending = Buffer.from(rest);
  }

  #take(payload: Buffer): void {
    if (!this.#saidHello) {
      this.#saidHello = true;
      return;
    }
    this.#messages.push(Buffer.from(payload));
    if (this.#messages.length < this.#messagesEach) return;
    const body = Buffer.concat(this.#messages);
    this.#messages = [];
    this.#onResponse(OK, body);
  }
}

function readFrame(bytes: Buffer): { payload: Buffer; end: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1]!;
  const start = short === LENGTH_16 ? 4 : short === LENGTH_64 ? 10 : 2;
  if (bytes.length < start) return undefined;
  const length = short === LENGTH_16
    ? bytes.readUInt16BE(2)
    : short === LENGTH_64
    ? Number(bytes.readBigUInt64BE(2))
    : short;
  const end = start + length;
  return bytes.length < end ? undefined : { payload: bytes.subarray(start, end), end };
}
