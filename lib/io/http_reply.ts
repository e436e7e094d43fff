/** Writes the replies of the HTTP server. */
import { concat } from "../base/bytes.ts";
import type { HttpReply } from "./http.ts";
import type { HttpHeadError } from "./http_head.ts";

/** A body up to this size goes into one piece with its head. */
const JOIN_BYTES_MAX = 64 * 1024;
/** Where short replies are put together; what leaves is a copy. */
const scratch = new Uint8Array(JOIN_BYTES_MAX);
const MS_PER_SECOND = 1_000;
const NO_BYTES = new Uint8Array(0);
const encoder = new TextEncoder();

/** The reasons that go with the codes; clients ignore them. */
const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
  507: "Insufficient Storage",
};

/** Tells a client that waits with its body to send it. */
export const INTERIM: Uint8Array = encoder.encode("HTTP/1.1 100 Continue\r\n\r\n");

/** The reply to a request whose handler failed. */
export const FAILURE: HttpReply = {
  status: 500,
  contentType: "application/json",
  body: '{"message":"The node failed to answer; its log has the reason",' +
    '"code":"INTERNAL","outcome":"unknown"}',
};

/** The reply to what is no request. */
export function refusalOf(error: HttpHeadError): HttpReply {
  const body = `{"message":${JSON.stringify(error.message)},"code":"PROTOCOL"}`;
  return { status: error.status, contentType: "application/json", body };
}

let dateSecond = -1;
let dateText = "";

/** The time for people and caches, worked out once in a second. */
function dateNow(): string {
  const second = Math.floor(Date.now() / MS_PER_SECOND);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * MS_PER_SECOND).toUTCString();
  }
  return dateText;
}

/** The beginning of a head without headers of its own: most replies share it for a second. */
let lastStatus = 0;
let lastType = "";
let lastSecond = -1;
let lastHead = "";

function headStart({ status, contentType }: HttpReply): string {
  const date = dateNow();
  if (status !== lastStatus || contentType !== lastType || dateSecond !== lastSecond) {
    lastStatus = status;
    lastType = contentType;
    lastSecond = dateSecond;
    lastHead = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n` +
      `content-type: ${contentType}\r\ndate: ${date}\r\n`;
  }
  return lastHead;
}

/** The head of a reply, without what says how long the body is. */
export function headText(reply: HttpReply, keepAlive: boolean): string {
  let text = headStart(reply);
  const { headers } = reply;
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return keepAlive ? text : `${text}connection: close\r\n`;
}

/** The end of the head of a reply whose size is not known before. */
export function bodyHeader(chunked: boolean): string {
  return chunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n";
}

/** A reply whose body is at hand, in one piece or two. */
export function encodeReply(
  reply: HttpReply,
  how: { readonly keepAlive: boolean; readonly withBody: boolean },
): readonly Uint8Array[] {
  const head = headText(reply, how.keepAlive);
  const body = reply.body as string | Uint8Array;
  if (typeof body === "string") {
    if (how.withBody) {
      const whole = encodeAscii(`${head}content-length: ${body.length}\r\n\r\n${body}`);
      if (whole !== undefined) return [whole];
    }
    const bytes = encoder.encode(body);
    const text = encoder.encode(`${head}content-length: ${bytes.length}\r\n\r\n`);
    return how.withBody ? [concat([text, bytes])] : [text];
  }
  const text = encoder.encode(`${head}content-length: ${body.length}\r\n\r\n`);
  const bytes = how.withBody ? body : NO_BYTES;
  return bytes.length > JOIN_BYTES_MAX ? [text, bytes] : [concat([text, bytes])];
}

/** The bytes of a text that is short and all ASCII, whose size is therefore known before. */
function encodeAscii(text: string): Uint8Array | undefined {
  if (text.length > scratch.length) return undefined;
  const { read, written } = encoder.encodeInto(text, scratch);
  return read === text.length && written === text.length ? scratch.slice(0, written) : undefined;
}
