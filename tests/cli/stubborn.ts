/** A program that does not end when it is asked to. */
import { program } from "../../lib/io/program.ts";

program.onStopRequest((signal) => program.stdout(`${signal}\n`));
program.stdout("ready\n");
setInterval(() => {}, 60_000);
