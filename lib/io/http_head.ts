/** Reads heads of requests (RFC 9112). What two readers might understand differently is refused. */

/** What the head of a request says. */
export interface RequestHead {
  readonly method: string;
  /** The path as it was sent, without the query. */
  readonly path: string;
  /** What followed the first `?`. */
  readonly query: string;
  /** By name in lower case; values that came apart are joined by a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** Whether the client understands HTTP/1.1, and with it a reply in chunks. */
  readonly isVersion11: boolean;
  /** Whether the connection may carry another request. */
  readonly keepAlive: boolean;
  /** Size of the body; undefined when it comes in chunks. */
  readonly bodyBytes: number | undefined;
  /** Whether the client waits for a word before it sends the body. */
  readonly expectsContinue: boolean;
}

/** Thrown for a head that is none; the connection cannot be used any more. */
export class HttpHeadError extends Error {
  override readonly name = "HttpHeadError";
  /** The status that says so. */
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP\/(\d)\.(\d)$/;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** A line ends with both of CR and LF; neither stands alone, and no NUL anywhere. */
const FORBIDDEN = /[\0\r\n]/;
const LENGTH = /^[0-9]{1,15}$/;

/**
 * Parses a head.
 *
 * @param text Its bytes as Latin-1, without the empty line that ends it.
 * @throws {HttpHeadError}
 */
export function parseHead(text: string): RequestHead {
  const lines = text.split("\r\n");
  const requestLine = REQUEST_LINE.exec(lines[0]!);
  if (requestLine === null) throw new HttpHeadError("Not a request of HTTP/1.1");
  const [, method, target, major, minor] = requestLine;
  if (major !== "1") throw new HttpHeadError("Only HTTP/1.1 is spoken here", 505);
  const isVersion11 = minor !== "0";
  const headers = parseHeaders(lines);
  if (isVersion11 && !headers.has("host")) throw new HttpHeadError("The Host header is missing");
  const question = target!.indexOf("?");
  const resource = question < 0 ? target! : target!.slice(0, question);
  const connection = headers.get("connection")?.toLowerCase() ?? "";
  return {
    method: method!,
    path: pathOf(resource),
    query: question < 0 ? "" : target!.slice(question + 1),
    headers,
    isVersion11,
    keepAlive: isVersion11 ? !hasToken(connection, "close") : hasToken(connection, "keep-alive"),
    bodyBytes: bodyBytesOf(headers, isVersion11),
    expectsContinue: isVersion11 && headers.get("expect")?.toLowerCase() === "100-continue",
  };
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let at = 1; at < lines.length; at++) {
    const line = lines[at]!;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon < 0 ? line.length : colon).toLowerCase();
    // A name with a space, or a line that goes on with the one before, is taken for what it is not
    // by some other reader.
    if (colon < 0 || !NAME.test(name) || FORBIDDEN.test(line)) {
      throw new HttpHeadError("A header is malformed");
    }
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    if (before === undefined) headers.set(name, value);
    else if (name === "host") throw new HttpHeadError("There are two Host headers");
    else headers.set(name, `${before}, ${value}`);
  }
  return headers;
}

/** A target may also be a whole URL; its host is that of the Host header. */
function pathOf(resource: string): string {
  if (resource.startsWith("/")) return resource;
  const scheme = resource.indexOf("://");
  if (scheme < 0) return resource;
  const slash = resource.indexOf("/", scheme + 3);
  return slash < 0 ? "/" : resource.slice(slash);
}

function bodyBytesOf(headers: Map<string, string>, isVersion11: boolean): number | undefined {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding === undefined) {
    if (length === undefined) return 0;
    // Also two of them that differ, or agree, as they are joined by a comma.
    if (!LENGTH.test(length)) throw new HttpHeadError("The Content-Length is no number");
    return Number(length);
  }
  if (length !== undefined || !isVersion11) {
    throw new HttpHeadError("The end of the body is told in two ways");
  }
  if (coding.toLowerCase() !== "chunked") {
    throw new HttpHeadError("Only chunked transfer is known", 501);
  }
  return undefined;
}

function hasToken(list: string, token: string): boolean {
  return list.split(",").some((part) => part.trim() === token);
}
