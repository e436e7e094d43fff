import type { Command } from "./command.ts";
import {
  BACKUP_OPTIONS,
  DATABASES_OPTIONS,
  DEMO_OPTIONS,
  DUMP_OPTIONS,
  INSPECT_OPTIONS,
  type OptionTable,
  RECOVER_OPTIONS,
  RESTORE_OPTIONS,
  SERVE_OPTIONS,
  SHELL_OPTIONS,
} from "./options.ts";

/** Every command. The code of each is loaded when it is called, so that small ones start fast. */
export const COMMANDS: readonly Command[] = [
  command({
    name: "serve",
    summary: "run a node: alone, or as part of a cluster with --join",
    options: SERVE_OPTIONS,
    run: async (call) => (await import("./serve.ts")).serve(call),
  }),
  command({
    name: "shell",
    summary: "query a cluster: at a terminal, or as a script from arguments or stdin",
    options: SHELL_OPTIONS,
    rest: { name: "SQL", description: "statements and dot-commands to run, each an argument" },
    run: async (call) => (await import("./shell.ts")).shell(call),
  }),
  command({
    name: "databases",
    summary: "list the databases of a running cluster, make one, or drop one",
    options: DATABASES_OPTIONS,
    rest: { name: "CHANGE", description: "create NAME, or drop NAME, with all that it holds" },
    run: async (call) => (await import("./databases.ts")).databases(call),
  }),
  command({
    name: "backup",
    summary: "copy the database of a running cluster into a plain SQLite file",
    options: BACKUP_OPTIONS,
    rest: { name: "FILE", description: "the file to make" },
    run: async (call) => (await import("./backup.ts")).backup(call),
  }),
  command({
    name: "demo",
    summary: "load data into three nodes while killing them, then check that nothing is lost",
    options: DEMO_OPTIONS,
    run: async (call) => (await import("./demo.ts")).demo(call),
  }),
  command({
    name: "inspect",
    summary: "show and verify the files of a node, running or not, without changing them",
    options: INSPECT_OPTIONS,
    rest: { name: "DIR", description: "the data folder" },
    run: async (call) => (await import("./inspect.ts")).inspect(call),
  }),
  command({
    name: "restore",
    summary:
      "make a SQLite file, or a point in time, the content of a running cluster or a new one",
    options: RESTORE_OPTIONS,
    rest: { name: "FILE", description: "the database file; it is not changed" },
    run: async (call) => (await import("./restore.ts")).restore(call),
  }),
  command({
    name: "dump",
    summary: "write the database of a running cluster as SQL, to a file or to stdout",
    options: DUMP_OPTIONS,
    rest: { name: "FILE", description: "the file to make (default: stdout)" },
    run: async (call) => (await import("./dump.ts")).dump(call),
  }),
  command({
    name: "recover",
    summary: "begin a new cluster with the folders that are left of a lost one; the last resort",
    options: RECOVER_OPTIONS,
    run: async (call) => (await import("./recover.ts")).recover(call),
  }),
  command({
    name: "version",
    summary: "show the version",
    options: {},
    run: async (call) => (await import("./version.ts")).version(call),
  }),
];

/** Ties `run` to the types of `options`; the list itself forgets them. */
function command<Table extends OptionTable>(given: Command<Table>): Command {
  return given as unknown as Command;
}
