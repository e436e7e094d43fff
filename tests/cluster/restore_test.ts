import { DEFAULT_RUNNER } from "./harness.ts";
import { testRestore } from "./restore.ts";

testRestore(DEFAULT_RUNNER);
testRestore("deno");
