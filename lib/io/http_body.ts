/** Reads the bodies of requests from the pieces in which they arrive. */
import { concat } from "../base/bytes.ts";
import { DatabaseError } from "../base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../base/limits.ts";

const CR = 13;
const LF = 10;
/** Digits of the size of a chunk. */
const SIZE_DIGITS_MAX = 8;
/** Bytes of the extensions of a chunk, and of a line behind the last one. */
const LINE_BYTES_MAX = 4_096;
/** What is read and thrown away of a body that is not wanted, so that its reply is heard. */
const DISCARDED_BYTES_MAX = 4 * HTTP_BODY_BYTES_MAX;

/** What the next byte belongs to. */
type State = "body" | "size" | "chunk" | "chunk end" | "trailer" | "done";

/** Thrown when what arrives is no body, or never ends; the connection is of no use then. */
export class HttpBodyError extends Error {
  override readonly name = "HttpBodyError";
}

/** One body. */
export class HttpBody {
  #state: State;
  /** Bytes that the body, or the chunk at hand, still lacks. */
  #missingBytes: number;
  #sizeBytes = 0;
  #line = "";
  #parts: Uint8Array[] = [];
  #discards = false;
  #error: DatabaseError | undefined;
  #settle: (() => void) | undefined;

  /** @param declaredBytes Its size; undefined when it comes in chunks. */
  constructor(declaredBytes: number | undefined) {
    this.#missingBytes = declaredBytes ?? 0;
    this.#state = declaredBytes === undefined ? "size" : declaredBytes === 0 ? "done" : "body";
    if (this.#missingBytes > HTTP_BODY_BYTES_MAX) this.#refuse(`${declaredBytes} bytes`);
  }

  /** Whether all of it has arrived. */
  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Throws away what arrived and what is still to come. */
  discard(): void {
    this.#discards = true;
    this.#parts = [];
  }

  /** The connection is gone, or what came is no body. */
  fail(reason: string): void {
    this.#error ??= new DatabaseError("PROTOCOL", `The body was cut short: ${reason}`);
    this.#settle?.();
  }

  /**
   * All of it, once it is there; at once when it is.
   *
   * @throws {DatabaseError} TOO_LARGE above the bound; PROTOCOL when it is cut short.
   */
  bytes(): Promise<Uint8Array> | Uint8Array {
    if (this.#error !== undefined || this.isDone) return this.#taken();
    return new Promise<void>((resolve) => this.#settle = resolve).then(() => this.#taken());
  }

  /**
   * Takes the next bytes of the connection.
   *
   * @returns How many belong to the body.
   * @throws {HttpBodyError}
   */
  push(bytes: Uint8Array): number {
    let at = 0;
    while (this.#state !== "done" && at < bytes.length) {
      at += this.#state === "body" || this.#state === "chunk"
        ? this.#take(bytes, at)
        : this.#takeFraming(bytes[at]!);
    }
    if (this.isDone) this.#settle?.();
    return at;
  }

  #taken(): Uint8Array {
    if (this.#error !== undefined) throw this.#error;
    const parts = this.#parts;
    this.#parts = [];
    return parts.length === 1 ? parts[0]! : concat(parts);
  }

  #take(bytes: Uint8Array, at: number): number {
    const size = Math.min(bytes.length - at, this.#missingBytes);
    this.#missingBytes -= size;
    this.#sizeBytes += size;
    if (this.#sizeBytes > DISCARDED_BYTES_MAX) throw new HttpBodyError("The body does not end");
    if (this.#sizeBytes > HTTP_BODY_BYTES_MAX) this.#refuse("more");
    if (!this.#discards) this.#parts.push(bytes.subarray(at, at + size));
    if (this.#missingBytes === 0) this.#state = this.#state === "body" ? "done" : "chunk end";
    return size;
  }

  /** One byte of what stands between chunks. */
  #takeFraming(byte: number): number {
    if (byte !== LF) {
      this.#line += String.fromCharCode(byte);
      if (this.#line.length > LINE_BYTES_MAX) throw new HttpBodyError("A line has no end");
      return 1;
    }
    const line = this.#line;
    this.#line = "";
    if (line.charCodeAt(line.length - 1) !== CR) throw new HttpBodyError("A line ends without CR");
    this.#takeLine(line.slice(0, -1));
    return 1;
  }

  #takeLine(line: string): void {
    switch (this.#state) {
      case "size": {
        const digits = /^([0-9A-Fa-f]+)[ \t]*(?:;|$)/.exec(line)?.[1];
        if (digits === undefined || digits.length > SIZE_DIGITS_MAX) {
          throw new HttpBodyError("The size of a chunk is no number");
        }
        this.#missingBytes = parseInt(digits, 16);
        this.#state = this.#missingBytes === 0 ? "trailer" : "chunk";
        break;
      }
      case "chunk end":
        if (line !== "") throw new HttpBodyError("A chunk is longer than it says");
        this.#state = "size";
        break;
      default:
        // Headers behind the body mean nothing here.
        if (line === "") this.#state = "done";
        break;
    }
  }

  #refuse(size: string): void {
    if (this.#error !== undefined) return;
    this.discard();
    this.#error = new DatabaseError(
      "TOO_LARGE",
      `The body may have ${HTTP_BODY_BYTES_MAX} bytes; it has ${size}`,
      { hint: "Send the statements in several requests." },
    );
    this.#settle?.();
  }
}
