/** Commands about the cluster. */
import { ClientError } from "../client/error.ts";
import { type DotCommand, ShellError, type ShellHost } from "./host.ts";
import { renderRows } from "./modes.ts";

type Json = Readonly<Record<string, unknown>>;

/** Commands about the cluster. */
export const CLUSTER_COMMANDS: readonly DotCommand[] = [
  {
    name: "cluster",
    usage: "",
    help: "Show the members of the cluster",
    async run(shell) {
      const { status } = await clusterStatus(shell);
      const columns = ["id", "role", "leader", "address", "http", "match"];
      const rows = members(status).map((member) => [
        text(member["id"]),
        text(member["role"]),
        member["leader"] === true ? "yes" : "",
        text(member["address"]),
        text(member["httpUrl"]),
        text(member["matchIndex"]),
      ]);
      const display = { mode: "table", headers: true, nullText: "", table: "" } as const;
      shell.print(renderRows({ columns, rows }, display));
    },
  },
  {
    name: "databases",
    usage: "",
    help: "List the databases of the cluster; the one in use is marked",
    async run(shell) {
      for (const { name } of await shell.databases()) {
        shell.print(`${name === shell.database ? "*" : " "} ${name}\n`);
      }
    },
  },
  {
    name: "use",
    usage: "NAME",
    help: "Go over to another database, which is made when it is used first",
    run(shell, args) {
      if (args.length !== 1) throw new ShellError("Usage: .use NAME");
      if (shell.inTransaction) throw new ShellError("A transaction is open: end it first");
      shell.use(args[0]!);
    },
  },
  {
    name: "leader",
    usage: "",
    help: "Show which node leads",
    async run(shell) {
      const { status } = await clusterStatus(shell);
      const leader = status["leader"] as Json | null | undefined;
      if (leader === null || leader === undefined) throw new ShellError("No leader is known");
      shell.print(`${text(leader["id"])} ${text(leader["address"])} ${text(leader["httpUrl"])}\n`);
    },
  },
  {
    name: "status",
    usage: "",
    help: "Show the state of the node that answers first",
    async run(shell) {
      const { url, status } = await clusterStatus(shell);
      const rows: [string, string][] = [["url", url]];
      for (const [key, value] of Object.entries(status)) {
        if (typeof value !== "object") rows.push([key, text(value)]);
      }
      rows.push(["transaction", shell.inTransaction ? "open" : "none"]);
      const width = Math.max(...rows.map(([key]) => key.length));
      for (const [key, value] of rows) shell.print(`${key.padStart(width)}: ${value}\n`);
    },
  },
];

/** Asks the nodes known, the leader first, until one answers. */
async function clusterStatus(shell: ShellHost): Promise<{ url: string; status: Json }> {
  try {
    return await shell.client.clusterStatus();
  } catch (error) {
    if (error instanceof ClientError) throw new ShellError(error.message);
    throw error;
  }
}

function members(status: Json): readonly Json[] {
  const list = status["members"];
  return Array.isArray(list) ? list.filter((member) => typeof member === "object") : [];
}

function text(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}
