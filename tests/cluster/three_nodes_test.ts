import { DEFAULT_RUNNER } from "./harness.ts";
import { testThreeNodes } from "./three_nodes.ts";

testThreeNodes(DEFAULT_RUNNER);
