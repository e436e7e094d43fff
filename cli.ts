/** The executable: arguments in, one command run, exit status out. */
import { runCli } from "./lib/cli/run.ts";
import { program } from "./lib/io/program.ts";

program.exit(await runCli(program));
