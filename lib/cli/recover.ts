/** `dqlite recover`: what is left of a cluster that cannot go on begins a new one. */
import { DatabaseError } from "../base/errors.ts";
import { MEMBERS_MAX } from "../base/limits.ts";
import { SeededRandom } from "../base/random.ts";
import { systemClock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { randomHex, randomU32 } from "../io/entropy.ts";
import { type Choice, choose, type Loss } from "../recover/choice.ts";
import { finishRecovery } from "../recover/in_place.ts";
import { type Made, makeCluster } from "../recover/new_cluster.ts";
import { readSurvivor, type Survivor } from "../recover/survivor.ts";
import { type Call, EXIT } from "./command.ts";
import type { RECOVER_OPTIONS, Settings } from "./options.ts";

type RecoverSettings = Settings<typeof RECOVER_OPTIONS>;
type Write = (line: string) => void;

/**
 * Says what each folder holds, which one is taken and what may be lost; then does it, unless that
 * would have to be accepted first.
 *
 * @throws {DatabaseError} `CONFIG` when the loss is not accepted, or the folders do not belong
 * together; `DATA_FOLDER` or `CORRUPT` when they cannot be used; `DISK` or `DISK_FULL` when the
 * disk refuses.
 * @param disk By default the one of this machine.
 */
export async function recover(
  { settings, program }: Call<typeof RECOVER_OPTIONS>,
  disk: Disk = new NodeDisk(),
): Promise<number> {
  const write: Write = (line) => program.stdout(`${line}\n`);
  checkNodes(settings);
  if (settings.to === undefined && !settings.dryRun && finish(disk, settings.dir, write)) {
    return EXIT.ok;
  }
  const survivors: Survivor[] = [];
  try {
    for (const dir of settings.dir) {
      const survivor = readSurvivor(disk, dir);
      survivors.push(survivor);
      for (const line of survivorLines(survivor)) write(line);
    }
    const choice = choose(survivors);
    for (const line of choiceLines(choice)) write(line);
    if (settings.dryRun) return EXIT.ok;
    if (choice.losses.length > 0 && !settings.acceptDataLoss) throw notAccepted();
    await carryOut(disk, choice, settings, write);
    return EXIT.ok;
  } finally {
    for (const survivor of survivors) survivor.close();
  }
}

/** Takes recoveries to their end that were cut off; what they began was accepted then. */
function finish(disk: Disk, dirs: readonly string[], write: Write): boolean {
  let any = false;
  for (const dir of dirs) {
    const old = finishRecovery(disk, dir);
    if (old === undefined) continue;
    any = true;
    write(`A recovery of ${dir} had been cut off; it is complete now. The old log is in ${old}.`);
    tellStart([{ dir, listen: undefined }], write);
  }
  return any;
}

async function carryOut(
  disk: Disk,
  choice: Choice,
  { to, nodes }: RecoverSettings,
  write: Write,
): Promise<void> {
  const random = new SeededRandom(randomU32());
  const edges = { disk, clock: systemClock, random, clusterId: randomHex(16) };
  const { folders, oldLog } = await makeCluster(edges, choice, { to, nodes });
  if (oldLog !== undefined) write(`The old log is in ${oldLog}.`);
  else write("The old folders are as they were.");
  tellStart(folders, write);
}

function tellStart(folders: Made["folders"], write: Write): void {
  write(`The new cluster has ${folders.length} node${folders.length === 1 ? "" : "s"}:`);
  for (const { dir, listen } of folders) {
    write(`  dqlite serve --dir ${dir}${listen === undefined ? "" : ` --listen ${listen}`}`);
  }
  write("Never start another folder of the old cluster again; new nodes join with empty ones.");
}

function checkNodes({ nodes, to }: RecoverSettings): void {
  if (nodes.length > 0 && to === undefined) {
    throw new DatabaseError("CONFIG", "--nodes needs --to: a folder to make theirs in");
  }
  if (nodes.length > MEMBERS_MAX) {
    throw new DatabaseError("CONFIG", `--nodes names ${nodes.length}, more than ${MEMBERS_MAX}`);
  }
  for (const key of ["id", "address"] as const) {
    const twice = nodes.find((node, at) => nodes.findIndex((o) => o[key] === node[key]) < at);
    if (twice === undefined) continue;
    throw new DatabaseError("CONFIG", `--nodes names the ${key} ${twice[key]} twice`);
  }
}

function notAccepted(): DatabaseError {
  return new DatabaseError("CONFIG", "Nothing was changed: recover needs --accept-data-loss", {
    hint:
      "As long as a majority of the cluster lives, do not recover: remove this node and add it " +
      "again with an empty folder. If more of its folders are left, name them too.",
  });
}

function survivorLines(survivor: Survivor): string[] {
  const { dir, nodeId, clusterId, problems, recovering, voter, source, tables } = survivor;
  const lines = [`${dir}: node ${nodeId} of cluster ${clusterId}`];
  for (const { path, offset, expected } of problems) {
    lines.push(`  damaged: ${path} at offset ${offset}: expected ${expected}`);
  }
  if (recovering) lines.push("  recovering: its log was cut at damage, and not made good since");
  else if (voter === undefined) lines.push("  not whole: it may have held more");
  if (source instanceof DatabaseError) {
    lines.push(`  of no use: ${source.message}`);
    return lines;
  }
  const { base, last, completeIndex } = source;
  lines.push(`  database file: complete up to entry ${completeIndex}`);
  const end = `entry ${last.index} of term ${last.term}`;
  if (last.index === base.index) lines.push(`  log: none of use; it goes up to ${end}`);
  else lines.push(`  log: from entry ${base.index + 1} up to ${end}`);
  const behind = Math.max(0, ...tables.map(({ lastIndex }) => lastIndex));
  if (behind > last.index) lines.push(`  log: out of reach behind damage, up to entry ${behind}`);
  return lines;
}

function choiceLines({ chosen, why, losses, configuration }: Choice): string[] {
  const lines = [`Taken: ${chosen.dir}${why === "" ? "" : `: ${why}`}`];
  if (losses.length > 0) return [...lines, "May be lost:", ...losses.map(lossLine)];
  const voters = configuration.voters.length;
  return [
    ...lines,
    voters === 1
      ? "Nothing is lost: it was the only voter, and is whole"
      : "Nothing is lost: a majority of the voters is here, and whole",
  ];
}

function lossLine(loss: Loss): string {
  switch (loss.type) {
    case "voters": {
      const { missing, voters, joint } = loss;
      if (voters.length === 0) return "  all that others acknowledged: nobody knows who voted";
      const change = joint ? ", in the middle of a change of voters" : "";
      return `  what was acknowledged without the folders here: of the voters ${
        voters.join(", ")
      }` +
        `${change}, ${missing.length} of ${voters.length} are not here, or not whole: ` +
        missing.join(", ");
    }
    case "entries":
      return `  the entries ${loss.first} to ${loss.last}, of which ${loss.dir} has traces`;
    case "pages":
      return `  some pages of the database in ${loss.dir}: after entry ${loss.index} it was not ` +
        "what the other nodes held";
    case "contradiction":
      return `  unknown: ${loss.dir} holds another entry ${loss.index} of the same term; ` +
        "one of the folders was put back from an older copy, or is of another history";
  }
}
