import { testThreeNodes } from "./three_nodes.ts";

testThreeNodes("deno");
