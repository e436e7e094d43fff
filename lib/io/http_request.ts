/** What a server over the web's `Request` needs, and the error that all servers share. */
import { concat } from "../base/bytes.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../base/limits.ts";
import type { HttpReply, HttpRequest } from "./http.ts";
import { FAILURE } from "./http_reply.ts";

const NO_BYTES = new Uint8Array(0);

/** A request over the `Request` of the runtime; it looks at nothing before it is asked. */
export class WebHttpRequest implements HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly #request: Request;
  readonly #signal: AbortSignal | undefined;

  /** @param signal Stands in for the request's own. */
  constructor(request: Request, signal?: AbortSignal) {
    this.#request = request;
    this.#signal = signal;
    this.method = request.method;
    const url = request.url;
    // Not `new URL`: it costs more than the rest of the request together. A request without a
    // host has a URL that is only the path.
    const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
    const question = url.indexOf("?", start);
    this.path = question < 0 ? url.slice(start) : url.slice(start, question);
    this.query = question < 0 ? "" : url.slice(question + 1);
  }

  get signal(): AbortSignal {
    return this.#signal ?? this.#request.signal;
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined;
  }

  async body(): Promise<Uint8Array> {
    const declared = this.#request.headers.get("content-length");
    try {
      if (declared === null) return await this.#bodyOfUnknownSize();
      if (Number(declared) > HTTP_BODY_BYTES_MAX) throw tooLarge(`${declared} bytes`);
      return await this.#request.bytes();
    } catch (error) {
      if (error instanceof DatabaseError) throw error;
      const message = `The body was cut short: ${messageOf(error)}`;
      throw new DatabaseError("PROTOCOL", message, { cause: error });
    }
  }

  /** Reads a body that came in chunks, and stops as soon as it is too large. */
  async #bodyOfUnknownSize(): Promise<Uint8Array> {
    const stream = this.#request.body;
    if (stream === null) return NO_BYTES;
    const reader = stream.getReader();
    const parts: Uint8Array[] = [];
    let sizeBytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return concat(parts);
      sizeBytes += value.length;
      if (sizeBytes > HTTP_BODY_BYTES_MAX) {
        await reader.cancel();
        throw tooLarge("more");
      }
      parts.push(value);
    }
  }
}

function tooLarge(size: string): DatabaseError {
  return new DatabaseError(
    "TOO_LARGE",
    `The body may have ${HTTP_BODY_BYTES_MAX} bytes; it has ${size}`,
    { hint: "Send the statements in several requests." },
  );
}

/** Headers by content type, made once: copying them is a third of the cost of a small reply. */
const plainHeaders = new Map<string, Headers>();

/** The `Response` of the runtime for a reply. */
export function toResponse(reply: HttpReply): Response {
  if (reply.headers !== undefined) {
    const headers = { ...reply.headers, "content-type": reply.contentType };
    return new Response(reply.body, { status: reply.status, headers });
  }
  let headers = plainHeaders.get(reply.contentType);
  if (headers === undefined) {
    headers = new Headers({ "content-type": reply.contentType });
    // Content types may come from another node; only as many as this code has are worth keeping.
    if (plainHeaders.size < 8) plainHeaders.set(reply.contentType, headers);
  }
  return new Response(reply.body, { status: reply.status, headers });
}

/** The reply to a request whose handler failed. */
export function failureResponse(): Response {
  return toResponse(FAILURE);
}

/** The error for an address that cannot be listened on. */
export function addressError(hostname: string, port: number, error: unknown): DatabaseError {
  const address = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
  const reason = reasonOf(error);
  return new DatabaseError("ADDRESS", `Cannot listen for HTTP on ${address}: ${reason}`, {
    hint: "Choose another address with --http HOST:PORT.",
    cause: error,
  });
}

function reasonOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (code === "EADDRINUSE" || name === "AddrInUse") return "another program listens there";
  if (code === "EADDRNOTAVAIL" || name === "AddrNotAvailable") {
    return "it is not an address of this machine";
  }
  if (code === "EACCES" || name === "PermissionDenied") return "this user may not use that port";
  return messageOf(error);
}
