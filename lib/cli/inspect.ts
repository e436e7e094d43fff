/** `dqlite inspect DIR`: what is in a node's data folder, and whether all of it is sound. */
import { DatabaseError } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import { NodeDisk } from "../io/disk_node.ts";
import {
  type ConfigurationSummary,
  type FolderInspection,
  type FolderReport,
  inspectFolder,
  type SegmentSummary,
  type SlotSummary,
} from "../node_inspect.ts";
import { type Call, EXIT } from "./command.ts";
import type { INSPECT_OPTIONS } from "./options.ts";

type Write = (text: string) => void;

/**
 * Shows the folder; the status is 1 when something in it is wrong.
 *
 * @param disk By default the one of this machine.
 */
export function inspect(
  { settings, rest, program }: Call<typeof INSPECT_OPTIONS>,
  disk: Disk = new NodeDisk(),
): Promise<number> {
  const [path] = rest;
  if (path === undefined || rest.length > 1) {
    throw new DatabaseError("CONFIG", `inspect takes one data folder, not ${rest.length}`);
  }
  const inspection = inspectFolder(disk, path);
  try {
    const write: Write = (text) => program.stdout(text);
    if (settings.json) writeJson(inspection, settings.entries, write);
    else writeText(inspection, settings.entries, write);
    const { problems, start } = inspection.report;
    return Promise.resolve(problems.length === 0 && start.possible ? EXIT.ok : EXIT.failure);
  } finally {
    inspection.close();
  }
}

function writeJson({ report, forEachEntry }: FolderInspection, all: boolean, write: Write): void {
  const entries: unknown[] = [];
  if (all) {
    forEachEntry(({ index, term, type }, bodyBytes) =>
      entries.push({ index, term, type, bodyBytes })
    );
  }
  write(`${JSON.stringify(all ? { ...report, entries } : report, undefined, 2)}\n`);
}

function writeText({ report, forEachEntry }: FolderInspection, all: boolean, write: Write): void {
  const { slots, segments, configurations } = report;
  const lines = [...headLines(report), ...slots.map(slotLine), "", "segments"];
  lines.push(...table([
    ["sequence", "first index", "salt", "records", "size", "state"],
    ...segments.map(segmentCells),
  ]));
  lines.push("", `entries${report.base === undefined ? "" : `, after ${describe(report.base)}`}`);
  write(`${lines.join("\n")}\n`);
  if (all) {
    forEachEntry(({ index, term, type }, bytes) =>
      write(`  ${index}  term ${term}  ${type}  ${bytes} bytes\n`)
    );
  } else {
    for (const { first, last, term, bodyBytes } of report.ranges) {
      write(`  ${first} to ${last}  term ${term}  ${bodyBytes} bytes\n`);
    }
  }
  const changes = configurations.flatMap((change) => [
    `  ${describe(change)}`,
    ...change.configuration.members.map(({ id, address, httpUrl }) =>
      `    ${id}  ${address}  ${httpUrl}`
    ),
  ]);
  write(["", "configurations", ...changes, "", ...verdictLines(report), ""].join("\n"));
}

function headLines(report: FolderReport): string[] {
  const { path, identity, usedBy, checkpoint, streamHardState } = report;
  const node = identity === undefined
    ? "unknown"
    : `node ${identity.nodeId} of ${
      identity.clusterId === undefined ? "no cluster yet" : `cluster ${identity.clusterId}`
    }, made ${identity.createdAt}`;
  const use = usedBy === undefined
    ? "not in use"
    : `in use by ${usedBy}, which may write while it is read: what is torn may be half written`;
  const state = checkpoint === undefined
    ? "none"
    : `complete up to ${checkpoint.completeIndex}, begun up to ${checkpoint.fuzzyIndex}` +
      (checkpoint.diverged === undefined ? "" : `; differed after ${checkpoint.diverged}`) +
      (checkpoint.installing === true ? "; a snapshot is on its way" : "");
  return [
    path,
    `  ${node}`,
    `  ${use}`,
    `  checkpoint: ${state}`,
    "",
    "hard state",
    `  records: ${streamHardState === undefined ? "none" : hardStateText(streamHardState)}`,
  ];
}

function hardStateText({ term, votedFor }: { term: number; votedFor: number | undefined }): string {
  return `term ${term}, ${votedFor === undefined ? "no vote" : `vote for ${votedFor}`}`;
}

function slotLine({ name, state, ...slot }: SlotSummary): string {
  if (slot.hardState === undefined) return `  ${name}: ${state}`;
  return `  ${name}: ${hardStateText(slot.hardState)}, write ${slot.writes}, ` +
    `segments ${slot.firstSegment} to ${slot.activeSegment}` +
    (slot.recovering === true ? ", recovering" : "");
}

function segmentCells(segment: SegmentSummary): string[] {
  const { sequence, state, firstIndex, salt, recordBytes, sizeBytes } = segment;
  if (firstIndex === undefined || salt === undefined) {
    return [String(sequence), "-", "-", "-", "-", state];
  }
  const text = salt.toString(16).padStart(8, "0");
  return [String(sequence), String(firstIndex), text, `${recordBytes}`, `${sizeBytes}`, state];
}

function describe({ index, term, configuration }: ConfigurationSummary): string {
  const { voters, votersOutgoing, learners, standbys, spares } = configuration;
  let text = `${index}  term ${term}  voters ${voters.join(", ") || "none"}`;
  if (votersOutgoing.length > 0) text += `  outgoing ${votersOutgoing.join(", ")}`;
  if (learners.length > 0) text += `  learners ${learners.join(", ")}`;
  if (standbys.length > 0) text += `  standbys ${standbys.join(", ")}`;
  if (spares.length > 0) text += `  spares ${spares.join(", ")}`;
  return text;
}

function verdictLines({ problems, start }: FolderReport): string[] {
  const lines = [start.possible ? `a start ${start.message}` : "a start is refused:"];
  if (!start.possible) lines.push(`  ${start.message}`);
  if (problems.length === 0) lines.push(start.possible ? "nothing is wrong" : "");
  else lines.push(`wrong: ${problems.length}`);
  for (const { path, offset, expected } of problems) {
    lines.push(`  ${path} at offset ${offset}: expected ${expected}`);
  }
  return lines.filter((line) => line !== "");
}

/** Columns of equal width. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")}`.trimEnd()
  );
}
