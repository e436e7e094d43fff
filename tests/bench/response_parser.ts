/**
 * Finds where HTTP responses of a keep-alive connection begin and end, doing no more than that: the
 * load generator must cost little, and the same for every system.
 */

/** Called with the status and a view of the body, which is valid during the call only. */
export type OnResponse = (status: number, body: Buffer) => void;

const HEADER_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;

/** Splits a byte stream into HTTP/1.1 responses (RFC 9112 §6). */
export class ResponseParser {
  readonly #onResponse: OnResponse;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Nothing is worth looking at before this many bytes are there. */
  #neededBytes = 0;

  constructor(onResponse: OnResponse) {
    this.#onResponse = onResponse;
  }

  /** Takes the next bytes of the connection. */
  push(chunk: Buffer): void {
    if (this.#pendingBytes === 0) {
      const rest = this.#parse(chunk);
      if (rest.length > 0) this.#keep(Buffer.from(rest));
      return;
    }
    this.#keep(Buffer.from(chunk));
    if (this.#pendingBytes < this.#neededBytes) return;
    const joined = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    const rest = this.#parse(joined);
    if (rest.length > 0) this.#keep(rest);
  }

  #keep(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }

  /** Reports every whole response and returns the bytes after the last one. */
  #parse(bytes: Buffer): Buffer {
    this.#neededBytes = 0;
    let rest = bytes;
    while (rest.length > 0) {
      const end = rest.indexOf(HEADER_END);
      if (end === -1) return rest;
      const head = rest.toString("latin1", 0, end);
      const status = Number(head.slice(9, 12));
      const bodyStart = end + HEADER_END.length;
      const length = CONTENT_LENGTH.exec(head);
      if (length !== null) {
        const bodyEnd = bodyStart + Number(length[1]);
        if (rest.length < bodyEnd) {
          this.#neededBytes = bodyEnd;
          return rest;
        }
        this.#onResponse(status, rest.subarray(bodyStart, bodyEnd));
        rest = rest.subarray(bodyEnd);
      } else if (CHUNKED.test(head)) {
        const parsed = readChunks(rest, bodyStart);
        if (parsed === undefined) {
          this.#neededBytes = rest.length + 1;
          return rest;
        }
        this.#onResponse(status, parsed.body);
        rest = rest.subarray(parsed.end);
      } else {
        this.#onResponse(status, EMPTY);
        rest = rest.subarray(bodyStart);
      }
    }
    return EMPTY;
  }
}

/** The body in chunked coding that starts at `start`, or undefined when it is not all there. */
function readChunks(bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const chunks: Buffer[] = [];
  let at = start;
  while (true) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const size = parseInt(bytes.toString("latin1", at, lineEnd), 16);
    if (!Number.isInteger(size)) throw new Error(`Bad chunk size at ${at}`);
    const dataEnd = lineEnd + 2 + size;
    if (bytes.length < dataEnd + 2) return undefined;
    at = dataEnd + 2;
    if (size === 0) return { body: Buffer.concat(chunks), end: at };
    chunks.push(bytes.subarray(lineEnd + 2, dataEnd));
  }
}
