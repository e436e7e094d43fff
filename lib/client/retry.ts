/** The rules of trying again; pure. */
import { CLIENT_BACKOFF_MS_MAX } from "../base/limits.ts";
import { below, type Random } from "../base/random.ts";
import type { ClientError } from "./error.ts";

/** Refusals that another node, or the same one a little later, may not repeat. */
const PASSING_REFUSALS = new Set([
  "CONNECTION_REFUSED",
  "NOT_LEADER",
  "NO_LEADER",
  "SHUTTING_DOWN",
  "BUSY",
  "SQLITE_IOERR_NOT_LEADER",
]);

/** Failures that leave open what happened, which does not matter to a read. */
const PASSING_DOUBTS = new Set([
  "CONNECTION_LOST",
  "LEADERSHIP_LOST",
  "SQLITE_IOERR_LEADERSHIP_LOST",
  "SERVER_ERROR",
]);

/** First pause between two attempts. */
const BACKOFF_MS = 20;

/**
 * Whether a call that failed may be tried again: when it certainly did not happen, or when it may
 * happen twice without harm. A write whose outcome is unknown is never tried again.
 *
 * @param call.idempotent The call reads only.
 */
export function mayRetry(error: ClientError, call: { readonly idempotent: boolean }): boolean {
  if (error.outcome === "rejected") return PASSING_REFUSALS.has(error.code);
  return call.idempotent && PASSING_DOUBTS.has(error.code);
}

/**
 * Milliseconds to wait before an attempt: doubling up to the bound, less a random part of up to
 * one half, so that clients that failed together do not come back together.
 *
 * @param attempt The number of attempts that failed, from 1.
 */
export function backoffMs(attempt: number, random: Random): number {
  const full = Math.min(CLIENT_BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(attempt - 1, 16));
  return full - below(random, Math.floor(full / 2) + 1);
}
