/** The command line of the bench. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { Dqlite } from "./systems/dqlite.ts";
import { Etcd } from "./systems/etcd.ts";
import { Rqlite } from "./systems/rqlite.ts";
import { PlainSqlite } from "./systems/sqlite.ts";
import type { System, Workload } from "./systems/system.ts";
import { FAILOVER, RECOVERY, WORKLOADS } from "./workloads.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const INSTALL = new URL("./install_peers.sh", import.meta.url).pathname;
const PEERS = ["rqlite", "sqlite", "etcd", "dqlite"];
/** What can grow. */
export const GROWTHS = ["rows", "size", "clients", "nodes", "transactions"] as const;

const HELP = `bun run bench [options]
  --against NAMES    of ${PEERS.join(",")} (default: rqlite,sqlite); installs what is missing;
                     dqlite is the one in C; an empty text for none
  --workloads NAMES  of ${WORKLOADS.map((w) => w.name).join(",")},
                     ${FAILOVER},${RECOVERY}, or their beginnings: insert,transaction,read,scan
                     (default: all)
  --growth NAME      of ${GROWTHS.join(",")}: how our cost grows with it, instead of all that
  --stability N      inserts for N minutes at 70 % of the highest rate, instead of all that
  --seconds N        length of one measurement (default: 5)
  --repeats N        measurements of each; the median counts (default: 3)
  --nodes N          nodes of each cluster (default: 3)
  --rows N           rows of ${RECOVERY}, and the most of the growth of rows (default: 1000000)
  --out FOLDER       writes the tables, the result as JSON and the plots there as well
  --dqlite COMMAND   how to run dqlite (default: dist/dqlite if built, else bun cli.ts)
`;

/** One growth run. */
export type Growth = (typeof GROWTHS)[number];

/** What to measure. */
export interface Options {
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  readonly failover: boolean;
  readonly recovery: boolean;
  readonly growth: Growth | undefined;
  /** Minutes of a stability run. */
  readonly stability: number | undefined;
  readonly seconds: number;
  readonly repeats: number;
  readonly nodes: number;
  readonly rows: number;
  readonly out: string | undefined;
  /** How to run our program. */
  readonly command: readonly string[];
}

/** @throws {Error} when an argument makes no sense. Shows the help and ends the process for it. */
export function readOptions(): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      against: { ...text, default: "rqlite,sqlite" },
      workloads: { ...text, default: `insert,transaction,read,scan,${FAILOVER},${RECOVERY}` },
      growth: text,
      stability: text,
      seconds: { ...text, default: "5" },
      repeats: { ...text, default: "3" },
      nodes: { ...text, default: "3" },
      rows: { ...text, default: "1000000" },
      out: text,
      dqlite: text,
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const positive = (name: "seconds" | "repeats" | "nodes" | "rows" | "stability") => {
    const value = Number(values[name]);
    if (value > 0) return value;
    throw new Error(`--${name} must be a number above 0, not ${values[name]}`);
  };
  const growth = GROWTHS.find((name) => name === values.growth);
  if (values.growth !== growth) throw new Error(`Unknown growth ${values.growth}; see --help`);
  const wanted = values.workloads.split(",");
  for (const name of wanted) {
    const known = name === FAILOVER || name === RECOVERY ||
      WORKLOADS.some((workload) => workload.name === name || workload.kind === name);
    if (!known) throw new Error(`Unknown workload ${name}; see --help`);
  }
  const nodes = positive("nodes");
  const built = existsSync(`${ROOT}dist/dqlite`);
  const command = values.dqlite?.split(" ") ??
    (built ? [`${ROOT}dist/dqlite`] : [process.execPath, `${ROOT}cli.ts`]);
  const stability = values.stability === undefined ? undefined : positive("stability");
  const alone = growth !== undefined || stability !== undefined;
  const names = !alone ? values.against.split(",").filter((name) => name !== "") : [];
  return {
    systems: [new Dqlite(nodes, command), ...peers(names, nodes)],
    workloads: WORKLOADS.filter(({ name, kind, overSocket }) =>
      wanted.includes(name) || wanted.includes(kind) && !overSocket
    ),
    failover: wanted.includes(FAILOVER),
    recovery: wanted.includes(RECOVERY),
    growth,
    stability,
    seconds: positive("seconds"),
    repeats: positive("repeats"),
    nodes,
    rows: positive("rows"),
    out: values.out,
    command,
  };
}

function peers(names: readonly string[], nodes: number): System[] {
  for (const name of names) {
    if (!PEERS.includes(name)) throw new Error(`Unknown peer ${name}; see --help`);
  }
  if (names.some((name) => name !== "sqlite")) spawnSync(INSTALL, { stdio: "inherit" });
  const systems: System[] = [];
  if (names.includes("rqlite")) systems.push(new Rqlite(nodes));
  if (names.includes("sqlite")) systems.push(new PlainSqlite());
  if (names.includes("etcd") && Etcd.isInstalled()) systems.push(new Etcd(nodes));
  return systems;
}
