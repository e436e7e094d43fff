/** What a linearizable read of the node itself waits for. */
import { DatabaseError } from "../base/errors.ts";
import { LEADER_WAIT_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Replica } from "../replica/replica.ts";

/**
 * Waits until this node shows everything that was committed when it was asked.
 *
 * @param notHere Why a node that holds no data cannot answer.
 * @throws {DatabaseError} `NO_LEADER` when nobody confirms it in time; what `notHere` says.
 */
export function waitUntilUpToDate(
  replica: Replica,
  clock: Clock,
  notHere: () => DatabaseError,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const late = () =>
    reject(new DatabaseError("NO_LEADER", `No leader answered within ${LEADER_WAIT_MS} ms`));
  const cancel = clock.after(LEADER_WAIT_MS, late);
  const deadlineMs = clock.nowMs() + LEADER_WAIT_MS;
  replica.linearize({ deadlineMs, retry: true }, (index) => {
    if (index === undefined) return late();
    if (replica.mode !== "leading" && !replica.followsData) return reject(notHere());
    replica.whenApplied(index, resolve);
  });
  return promise.finally(cancel);
}
