import { APPLY_SPACE_RETRY_MS } from "../base/limits.ts";
import { isSqliteFull } from "../database/sqlite_error.ts";
import type { Clock } from "../io/clock.ts";
import type { LogSpace } from "../log/types.ts";
import type { ReplicaEvents } from "./replica_options.ts";

/** Waits when there is no space to apply what is committed: it is undone, and stays in the log. */
export class ApplySpace {
  readonly #clock: Clock;
  readonly #events: Pick<ReplicaEvents, "onApplySpace">;
  #space: LogSpace = "ok";

  constructor(clock: Clock, events: Pick<ReplicaEvents, "onApplySpace">) {
    this.#clock = clock;
    this.#events = events;
  }

  /**
   * What was to be applied was not.
   *
   * @param pause Holds applying back; the function that it returns lets it go on.
   * @returns False when the reason is another one than space.
   */
  failed(error: unknown, pause: () => () => void): boolean {
    if (!isSqliteFull(error)) return false;
    this.#set("low");
    this.#clock.after(APPLY_SPACE_RETRY_MS, pause());
    return true;
  }

  /** Something was applied. */
  applied(): void {
    this.#set("ok");
  }

  #set(space: LogSpace): void {
    if (this.#space === space) return;
    this.#space = space;
    this.#events.onApplySpace?.(space);
  }
}
