/** Asks the node at the URL in the first argument twice and prints both answers. */
import { query } from "../../lib/demo/sql.ts";
import { program } from "../../lib/io/program.ts";

const url = program.args[0]!;
const answers = [await query(url, "SELECT 1"), await query(url, "INSERT INTO t VALUES(1)")];
program.stdout(`${JSON.stringify(answers)}\n`);
