/** `dqlite recover`: a folder whose log is damaged begins a new cluster with what is left of it. */
import { DatabaseError } from "../base/errors.ts";
import { SeededRandom } from "../base/random.ts";
import { systemClock } from "../io/clock.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { randomHex, randomU32 } from "../io/entropy.ts";
import { FolderRecovery, type RecoveryPlan } from "../node_recover.ts";
import { type Call, EXIT } from "./command.ts";
import type { RECOVER_OPTIONS } from "./options.ts";

/**
 * Says what is left and what is lost; makes the new log when the loss is accepted.
 *
 * @throws {DatabaseError} `CONFIG` when it is not, `DATA_FOLDER` or `CORRUPT` when the folder
 * cannot be used, `DISK` when the disk refuses.
 */
export async function recover(
  { settings, program }: Call<typeof RECOVER_OPTIONS>,
): Promise<number> {
  const { dir } = settings;
  using recovery = FolderRecovery.open({
    disk: new NodeDisk(),
    dir,
    clock: systemClock,
    random: new SeededRandom(randomU32()),
    newClusterId: randomHex(16),
  });
  program.stdout(`${planLines(dir, recovery.plan).join("\n")}\n`);
  if (!settings.acceptDataLoss) {
    throw new DatabaseError("CONFIG", "Nothing was changed: recover needs --accept-data-loss", {
      hint:
        "As long as a majority of the cluster lives, do not recover: remove this node and add " +
        "it again with an empty folder. Nothing is lost then.",
    });
  }
  const kept = await recovery.run();
  program.stdout(
    `The old log is in ${kept}. The folder begins a new cluster of one node:\n` +
      `  dqlite serve --dir ${dir}\n` +
      "Nodes of the old cluster cannot join it with their old folders.\n",
  );
  return EXIT.ok;
}

function planLines(dir: string, plan: RecoveryPlan): string[] {
  const { nodeId, clusterId, problems, completeIndex, kept, lost } = plan;
  const lines = [`${dir}: node ${nodeId} of cluster ${clusterId}`];
  for (const { path, offset, expected } of problems) {
    lines.push(`  damaged: ${path} at offset ${offset}: expected ${expected}`);
  }
  lines.push(`  database file: complete up to entry ${completeIndex}`);
  lines.push(
    kept.last < kept.first
      ? "  kept: the database file, and no entry of the log"
      : `  kept: the database file, and the entries ${kept.first} to ${kept.last} of the log`,
  );
  if (lost !== undefined) {
    lines.push(`  lost: the entries ${lost.first} to ${lost.last}, and what may have followed`);
  } else if (problems.length > 0) {
    lines.push(`  lost: what may have followed entry ${kept.last}`);
  } else lines.push("  lost: nothing that this folder held");
  return lines;
}
