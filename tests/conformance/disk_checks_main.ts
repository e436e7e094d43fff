/** Runs the rules of a disk over real files, under any runtime; prints one line for each. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { DISK_CHECKS } from "./disk_checks.ts";

for (const check of DISK_CHECKS) {
  const folder = mkdtempSync(join(tmpdir(), "disk-"));
  try {
    await check.run(new NodeDisk(), folder);
    console.log(`ok ${check.name}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
