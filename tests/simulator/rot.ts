/** A bit of a file changes by itself. */
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import type { World } from "./world.ts";

/** Records lie at the start of a segment, and so do the two blocks before them. */
const USED_BYTES = 14_000;

/** Changes a bit of one of the files; returns where, or undefined when all are empty. */
export function rotOne(
  world: World,
  disk: MemoryDisk,
  paths: readonly string[],
): { readonly path: string; readonly offset: number } | undefined {
  const path = world.pick(paths);
  if (path === undefined) return undefined;
  const size = disk.peek(path, 0, Infinity).length;
  if (size === 0) return undefined;
  const offset = world.below(world.chance(700) ? Math.min(size, USED_BYTES) : size);
  const flip = 1 << world.below(8);
  disk.damage(path, offset, (byte) => byte ^ flip);
  return { path, offset };
}
