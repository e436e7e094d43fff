/**
 * Runs in which more disks are damaged, emptied or silent than the promise covers, a majority among
 * them. Nodes may refuse and the cluster may be of no use any more. What they answer must still be
 * true: one history, no acknowledged write missing from a read.
 */
import type { Mode } from "./database.ts";
import { drawSettings } from "./settings.ts";

/** A mode with more damage than the promise covers. */
export function beyond(mode: Mode): Mode {
  return { ...mode, settings: ({ seed }) => mode.settings(drawSettings(seed, true)) };
}
