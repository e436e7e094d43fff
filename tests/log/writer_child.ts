/** Appends to the log in its arguments without end; prints the index of each durable entry. */
import { writeSync } from "node:fs";
import process from "node:process";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { commands } from "./harness.ts";
import { openReal } from "./real_log.ts";

const log = openReal(new NodeDisk(), process.argv[2]!);
const term = log.hardState.term + 1;

function next(hardState: { term: number; votedFor: number } | undefined): void {
  const first = log.lastIndex + 1;
  const entries = commands(first, first + first % 3, term, 200 + (first * 97) % 6000);
  log.append({ hardState, truncateFrom: undefined, entries }, () => {
    writeSync(1, `${log.durableIndex}\n`);
    next(undefined);
  });
}
next({ term, votedFor: 1 });
