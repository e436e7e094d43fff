/** A program that writes more than a pipe holds, and ends right after. */
import { program } from "../../lib/io/program.ts";

program.stdout("0123456789".repeat(200_000));
program.exit(0);
