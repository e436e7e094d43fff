/** Tries to lock the path in its arguments whenever told to, and says how that went. */
import process from "node:process";
import { lockFile } from "../../lib/io/process_lock.ts";

process.stdin.on("data", () => {
  const unlock = lockFile(process.argv[2]!);
  process.stdout.write(unlock === undefined ? "refused\n" : "held\n");
});
process.stdout.write("ready\n");
