/** Runs the checks on the store that the first argument names. */
import process from "node:process";
import { openObjectStore } from "../../lib/io/object_store_open.ts";
import { checkStore } from "./store_checks.ts";

await checkStore(openObjectStore(process.argv[2]!));
process.stdout.write("ok\n");
