/**
 * Which web pages may use the server. A browser sends the requests of any page to any address,
 * this machine's included; without this check a page could write to the database unseen.
 */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import { errorReply } from "./replies.ts";

const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers": "content-type, authorization",
  "access-control-max-age": "86400",
} as const;

/**
 * Refuses a request from a page of another origin.
 *
 * @returns The refusal; undefined for a request that may go on.
 */
export function refuseOrigin(
  request: HttpRequest,
  origin: string,
  allowedOrigins: readonly string[],
): HttpReply | undefined {
  if (isAllowed(origin, allowedOrigins) || isOwn(request, origin)) return undefined;
  const error = new DatabaseError(
    "PROTOCOL",
    `Pages of ${JSON.stringify(origin.slice(0, 100))} may not use this server`,
  );
  return errorReply(error, 403);
}

/** Adds what a browser needs to show the reply to the page. */
export function withOrigin(
  reply: HttpReply,
  origin: string,
  allowedOrigins: readonly string[],
): HttpReply {
  if (!isAllowed(origin, allowedOrigins)) return reply;
  const headers = { ...reply.headers, "access-control-allow-origin": origin, "vary": "origin" };
  return { ...reply, headers };
}

/** The reply to the question of a browser whether a page may send a request. */
export function preflightReply(): HttpReply {
  return { status: 200, contentType: "text/plain", body: "", headers: PREFLIGHT_HEADERS };
}

function isAllowed(origin: string, allowedOrigins: readonly string[]): boolean {
  return allowedOrigins.includes(origin) || allowedOrigins.includes("*");
}

function isOwn(request: HttpRequest, origin: string): boolean {
  return origin.slice(origin.indexOf("://") + 3) === request.header("host");
}
