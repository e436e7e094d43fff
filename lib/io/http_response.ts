/** Reads the replies of another node off a connection (RFC 9112). */
import { concat } from "../base/bytes.ts";
import type { HttpClientReply } from "./http.ts";

const HEAD_BYTES_MAX = 64 * 1024;
const CR = 13;
const LF = 10;
const NO_BYTES = new Uint8Array(0);
const decoder = new TextDecoder();

/** Thrown when what arrives is not a reply, or a larger one than allowed. */
export class HttpResponseError extends Error {
  override readonly name = "HttpResponseError";
}

/** Where a parser stands: what the next byte belongs to. */
type State = "head" | "body" | "chunk size" | "chunk" | "chunk end" | "trailer" | "done";

/** Reads one reply from the pieces in which it arrives. */
export class HttpResponseParser {
  /** Whether the connection can carry another request after this reply. */
  keepAlive = true;
  readonly #bodyBytesMax: number;
  #state: State = "head";
  #status = 0;
  #contentType = "";
  /** Bytes that arrived but are not understood yet, such as half of a head. */
  #pending: Uint8Array = NO_BYTES;
  /** Bytes that the body, or the chunk at hand, still lacks. */
  #missingBytes = 0;
  #bodyBytes = 0;
  #parts: Uint8Array[] = [];

  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /**
   * Takes the next piece.
   *
   * @returns The reply, once it is whole.
   * @throws {HttpResponseError} when it is not HTTP/1.1, or its body is too large.
   */
  push(piece: Uint8Array): HttpClientReply | undefined {
    let rest = this.#pending.length === 0 ? piece : concat([this.#pending, piece]);
    for (;;) {
      const before = this.#state;
      const taken = this.#take(rest);
      rest = rest.subarray(taken);
      if (this.#state === "done") return this.#finish(rest);
      if (taken === 0 && this.#state === before) break;
    }
    if (rest.length > HEAD_BYTES_MAX) throw new HttpResponseError("The head is too long");
    // A copy: the socket may reuse its buffer.
    this.#pending = rest.length === 0 ? NO_BYTES : rest.slice();
    return undefined;
  }

  #finish(rest: Uint8Array): HttpClientReply {
    // Bytes behind the reply answer nothing that was asked; the connection is out of step.
    if (rest.length > 0) this.keepAlive = false;
    return { status: this.#status, contentType: this.#contentType, body: concat(this.#parts) };
  }

  /** @returns How many bytes it understood; 0 when it needs more of them. */
  #take(bytes: Uint8Array): number {
    switch (this.#state) {
      case "head":
        return this.#takeHead(bytes);
      case "body":
      case "chunk":
        return this.#takeBody(bytes);
      default:
        return this.#takeLine(bytes);
    }
  }

  #takeHead(bytes: Uint8Array): number {
    const end = endOfHead(bytes);
    if (end === 0) return 0;
    const lines = decoder.decode(bytes.subarray(0, end)).split("\r\n");
    const status = /^HTTP\/1\.1 ([0-9]{3})(?: |$)/.exec(lines[0]!);
    if (status === null) throw new HttpResponseError(`Not a reply of HTTP/1.1: ${lines[0]}`);
    this.#status = Number(status[1]);
    let length: string | undefined;
    let chunked = false;
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(":");
      const value = line.slice(colon + 1).trim();
      const name = line.slice(0, colon).toLowerCase();
      if (name === "content-type") this.#contentType = value;
      else if (name === "content-length") length = value;
      else if (name === "transfer-encoding") chunked = value.toLowerCase() === "chunked";
      else if (name === "connection") this.keepAlive = value.toLowerCase() !== "close";
    }
    // An interim reply: the real one follows.
    if (this.#status < 200) return end;
    if (chunked) {
      this.#state = "chunk size";
    } else if (this.#status === 204 || this.#status === 304 || length === "0") {
      this.#state = "done";
    } else {
      if (length === undefined || !/^[0-9]{1,15}$/.test(length)) {
        throw new HttpResponseError(`No length of the body: ${length ?? "missing"}`);
      }
      this.#expect(Number(length));
      this.#state = "body";
    }
    return end;
  }

  #takeBody(bytes: Uint8Array): number {
    const size = Math.min(bytes.length, this.#missingBytes);
    if (size === 0) return 0;
    this.#parts.push(bytes.slice(0, size));
    this.#missingBytes -= size;
    if (this.#missingBytes === 0) this.#state = this.#state === "body" ? "done" : "chunk end";
    return size;
  }

  #takeLine(bytes: Uint8Array): number {
    const end = bytes.indexOf(LF) + 1;
    if (end === 0) return 0;
    const line = decoder.decode(bytes.subarray(0, end)).trimEnd();
    if (this.#state === "chunk end") {
      if (line !== "") throw new HttpResponseError("A chunk is longer than it says");
      this.#state = "chunk size";
    } else if (this.#state === "trailer") {
      if (line === "") this.#state = "done";
    } else {
      const size = /^([0-9a-fA-F]{1,8})(?:;|$)/.exec(line);
      if (size === null) throw new HttpResponseError(`Not the size of a chunk: ${line}`);
      this.#expect(Number.parseInt(size[1]!, 16));
      this.#state = this.#missingBytes === 0 ? "trailer" : "chunk";
    }
    return end;
  }

  #expect(sizeBytes: number): void {
    this.#missingBytes = sizeBytes;
    this.#bodyBytes += sizeBytes;
    if (this.#bodyBytes > this.#bodyBytesMax) {
      throw new HttpResponseError(`The body is larger than ${this.#bodyBytesMax} bytes`);
    }
  }
}

/** The offset behind the empty line that ends a head; 0 when it is not there yet. */
function endOfHead(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (at >= 3 && bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) {
      return at + 1;
    }
  }
  return 0;
}
