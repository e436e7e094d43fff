import { messageOf } from "../base/errors.ts";
import { systemClock } from "../io/clock.ts";

const POLL_MS = 25;

/** Something outside this program did not do what the demo waits for; the message tells it all. */
export class DemoFailure extends Error {
  override readonly name = "DemoFailure";
}

/** Settles after `delayMs`, or at once when `signal` is aborted. Never rejects. */
export function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = () => {
      cancel();
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const cancel = systemClock.after(delayMs, finish);
    signal?.addEventListener("abort", finish);
  });
}

/**
 * Waits until `condition` gives something other than undefined or false, and returns that. A
 * condition that throws is asked again.
 *
 * @param what Completes the sentence "waited … until".
 * @throws {DemoFailure} when it is not met in time, with the last error of the condition, or when
 * `signal` is aborted.
 */
export async function waitUntil<T>(
  what: string,
  timeoutMs: number,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  signal?: AbortSignal,
): Promise<T> {
  const deadlineMs = systemClock.nowMs() + timeoutMs;
  let last: unknown;
  do {
    if (signal?.aborted) throw new DemoFailure(`Interrupted while waiting until ${what}`);
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await pause(POLL_MS, signal);
  } while (systemClock.nowMs() < deadlineMs);
  const why = last === undefined ? "" : `: ${messageOf(last)}`;
  throw new DemoFailure(`Waited ${timeoutMs} ms in vain until ${what}${why}`);
}
