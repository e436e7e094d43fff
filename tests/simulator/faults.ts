/** What the simulator does to a disk on purpose, told apart from what the product does wrong. */

/** The power goes off in the middle of an operation. */
export class PowerCut extends Error {
  override readonly name = "PowerCut";
}

/** The disk refuses an operation. */
export class InjectedError extends Error {
  override readonly name = "InjectedError";
}

/** Whether `error`, or what caused it, was made by the simulator, and passes `test`. */
export function causedBy(
  error: unknown,
  kind: typeof PowerCut | typeof InjectedError,
  test: (error: Error) => boolean = () => true,
): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof kind && test(at)) return true;
  }
  return false;
}

/** Operations of the log that may fail while it runs. */
export const WRITE_OPERATIONS = [
  "log batch",
  "log close",
  "hard state",
  "segment header",
  "active segment",
  "prepare segment",
] as const;

/** Files that a checkpoint syncs. */
export const CHECKPOINT_FILES = ["main.db", "checkpoint", "checkpoint.copy"] as const;

/** What a start reads, by the end of its path. */
export const START_FILES = [".segment", "/state.a", "/state.b", "/checkpoint", ""] as const;

/** Operations of a start that change the disk. */
export const START_OPERATIONS = ["write", "sync", "syncFolder", "remove"] as const;
