import { testBackup } from "./backup.ts";
import { DEFAULT_RUNNER } from "./harness.ts";

testBackup(DEFAULT_RUNNER);
testBackup("deno");
