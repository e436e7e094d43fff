/**
 * The one table of options: flags, environment variables, config file, help and validation all
 * come from here.
 */
import { z } from "zod";

import { TRANSACTION_BYTES_MAX } from "../base/limits.ts";
import { parsePoint, type Point } from "../archive/point.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../observe/log.ts";
import { MODE_NAMES } from "../shell/modes.ts";

const MIB = 1024 * 1024;

/** One option of a command. */
export interface Option {
  /** The flag without its dashes; also the key in a config file. */
  readonly name: string;
  /**
   * How often and in which form it is given: `list` is separated by commas, or repeated; `repeated`
   * may hold commas.
   */
  readonly type: "text" | "number" | "list" | "repeated" | "flag";
  /** What stands for the value in the help; flags have none. */
  readonly placeholder?: string;
  /** The value when it is given nowhere, in the form it would be typed. */
  readonly default?: string;
  /** The environment variable. */
  readonly env: string;
  readonly description: string;
  /** The unit of a number. */
  readonly unit?: string;
  /** The rule for a value, with the message that states it. */
  readonly schema: z.ZodType;
}

/** The options of a command, by the name their value has in the program. */
export type OptionTable = Readonly<Record<string, Option>>;

/** The values of a table's options. */
export type Settings<Table extends OptionTable> = {
  readonly [Key in keyof Table]: z.output<Table[Key]["schema"]>;
};

const hostPort = z.string().refine(isHostPort, {
  error: "must be HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:9001",
});
const httpUrl = z.string().refine(isHttpUrl, {
  error: "must be an http:// or https:// URL, such as http://127.0.0.1:8080",
});
const nodeAt = z.string().transform((text, context) => {
  const match = /^(\d{1,16})=(.+)$/.exec(text);
  const id = Number(match?.[1]);
  if (Number.isSafeInteger(id) && id > 0 && isHostPort(match![2]!)) {
    return { id, address: match![2]! };
  }
  context.addIssue("must be ID=HOST:PORT with a positive whole number, such as 1=10.0.0.1:9001");
  return z.NEVER;
});
const pointInTime = z.string().transform((text, context): Point => {
  const point = parsePoint(text);
  if (point !== undefined) return point;
  context.addIssue(
    "must be an entry's index, latest, or a time with its zone, such as 2026-03-01T12:00:00.5Z",
  );
  return z.NEVER;
});
const duration = z.string().transform((text, context): number => {
  const match = /^(\d{1,6})([dhm])$/.exec(text);
  const unitMs = { d: 86_400_000, h: 3_600_000, m: 60_000 }[match?.[2] ?? ""];
  if (unitMs !== undefined && Number(match![1]) > 0) return Number(match![1]) * unitMs;
  context.addIssue("must be a number of days, hours or minutes, such as 30d, 12h or 90m");
  return z.NEVER;
});
const path = z.string().min(1, { error: "must be a path, not an empty text" });

const CONFIG = {
  name: "config",
  type: "text",
  placeholder: "FILE",
  env: "DQLITE_CONFIG",
  description: "JSON file with options by name; flags and the environment go before it",
  schema: path.optional(),
} as const satisfies Option;

/** Options of `dqlite serve`. */
export const SERVE_OPTIONS = {
  dir: {
    name: "dir",
    type: "text",
    placeholder: "PATH",
    default: "./dqlite-data",
    env: "DQLITE_DIR",
    description: "folder for the node's data; made when missing",
    schema: path,
  },
  listen: {
    name: "listen",
    type: "text",
    placeholder: "HOST:PORT",
    default: "127.0.0.1:9001",
    env: "DQLITE_LISTEN",
    description: "address for the other nodes of the cluster",
    schema: hostPort,
  },
  http: {
    name: "http",
    type: "text",
    placeholder: "HOST:PORT",
    default: "127.0.0.1:8080",
    env: "DQLITE_HTTP",
    description: "address for clients: SQL over HTTP, health, status",
    schema: hostPort,
  },
  join: {
    name: "join",
    type: "list",
    placeholder: "HOST:PORT,…",
    default: "",
    env: "DQLITE_JOIN",
    description: "nodes of the cluster to join; without it the first start makes a new cluster",
    schema: z.array(hostPort),
  },
  from: {
    name: "from",
    type: "text",
    placeholder: "FILE",
    env: "DQLITE_FROM",
    description: "SQLite file that a new cluster begins with; it is not changed",
    schema: path.optional(),
  },
  role: {
    name: "role",
    type: "text",
    placeholder: "voter|standby|spare",
    default: "voter",
    env: "DQLITE_ROLE",
    description: "what the node becomes when it joins; later it is what the cluster makes it",
    schema: oneOf(["voter", "standby", "spare"]),
  },
  advertise: {
    name: "advertise",
    type: "text",
    placeholder: "HOST:PORT",
    env: "DQLITE_ADVERTISE",
    description: "address that other nodes reach --listen by (default: --listen)",
    schema: hostPort.optional(),
  },
  advertiseHttp: {
    name: "advertise-http",
    type: "text",
    placeholder: "URL",
    env: "DQLITE_ADVERTISE_HTTP",
    description: "URL that clients reach --http by (default: --http)",
    schema: httpUrl.optional(),
  },
  archive: {
    name: "archive",
    type: "text",
    placeholder: "DIR|s3://…",
    env: "DQLITE_ARCHIVE",
    description: "where to archive what is committed, to restore any point in time; on all nodes",
    schema: path.optional(),
  },
  archiveKeep: {
    name: "archive-keep",
    type: "text",
    placeholder: "DURATION",
    env: "DQLITE_ARCHIVE_KEEP",
    description: "how far back points are kept, such as 30d or 12h (default: all are)",
    schema: duration.optional(),
  },
  transactionMax: {
    name: "transaction-max",
    type: "number",
    placeholder: "MIB",
    default: String(TRANSACTION_BYTES_MAX / MIB),
    env: "DQLITE_TRANSACTION_MAX",
    description: "what one transaction may change while this node leads",
    unit: "MiB of pages",
    schema: wholeNumber(1, 1_048_576).transform((mib) => mib * MIB),
  },
  logFormat: {
    name: "log-format",
    type: "text",
    placeholder: LOG_FORMATS.join("|"),
    default: "text",
    env: "DQLITE_LOG_FORMAT",
    description: "form of the log lines on stderr",
    schema: oneOf(LOG_FORMATS),
  },
  logLevel: {
    name: "log-level",
    type: "text",
    placeholder: LOG_LEVELS.join("|"),
    default: "info",
    env: "DQLITE_LOG_LEVEL",
    description: "least level that is logged",
    schema: oneOf(LOG_LEVELS),
  },
  config: CONFIG,
} as const satisfies OptionTable;

const DATABASE = {
  name: "db",
  type: "text",
  placeholder: "NAME",
  env: "DQLITE_DB",
  description: "name of the database (default: main)",
  schema: z.string().min(1, { error: "must be a name, not an empty text" }).optional(),
} as const satisfies Option;

/** Options of `dqlite shell`. */
export const SHELL_OPTIONS = {
  url: {
    name: "url",
    type: "list",
    placeholder: "URL,…",
    default: "http://127.0.0.1:8080",
    env: "DQLITE_URL",
    description: "HTTP address of one node or several; the leader is found from there",
    schema: z.array(httpUrl).min(1, { error: "must name at least one node" }),
  },
  db: DATABASE,
  mode: {
    name: "mode",
    type: "text",
    placeholder: "MODE",
    env: "DQLITE_MODE",
    description: "form of the results, as in .mode (default: box at a terminal, else list)",
    schema: oneOf(MODE_NAMES).optional(),
  },
  timeout: {
    name: "timeout",
    type: "number",
    placeholder: "SECONDS",
    default: "30",
    env: "DQLITE_TIMEOUT",
    description: "time a statement may take, failover included",
    unit: "s",
    schema: wholeNumber(1, 86_400),
  },
  config: CONFIG,
} as const satisfies OptionTable;

/** Options of `dqlite demo`. */
export const DEMO_OPTIONS = {
  seconds: {
    name: "seconds",
    type: "number",
    placeholder: "N",
    default: "30",
    env: "DQLITE_DEMO_SECONDS",
    description: "time the demo loads data and kills nodes",
    unit: "s",
    schema: wholeNumber(1, 86_400),
  },
  dir: {
    name: "dir",
    type: "text",
    placeholder: "PATH",
    env: "DQLITE_DEMO_DIR",
    description: "folder for the nodes' data (default: a new temporary one)",
    schema: path.optional(),
  },
  seed: {
    name: "seed",
    type: "number",
    placeholder: "N",
    env: "DQLITE_DEMO_SEED",
    description: "seed of the random choices (default: a new one)",
    schema: wholeNumber(0, 0xffff_ffff).optional(),
  },
} as const satisfies OptionTable;

/** Options of `dqlite inspect`. */
export const INSPECT_OPTIONS = {
  entries: {
    name: "entries",
    type: "flag",
    env: "DQLITE_INSPECT_ENTRIES",
    description: "show every entry of the log, instead of ranges by term",
    schema: flag(),
  },
  json: {
    name: "json",
    type: "flag",
    env: "DQLITE_INSPECT_JSON",
    description: "show everything as JSON",
    schema: flag(),
  },
} as const satisfies OptionTable;

/** Options of `dqlite recover`. */
export const RECOVER_OPTIONS = {
  dir: {
    name: "dir",
    type: "repeated",
    placeholder: "PATH",
    default: SERVE_OPTIONS.dir.default,
    env: "DQLITE_DIR",
    description: "data folder of a node that does not run; repeated, the most complete is taken",
    schema: z.array(path).min(1, { error: "must name at least one folder" }),
  },
  to: {
    name: "to",
    type: "text",
    placeholder: "PATH",
    env: "DQLITE_RECOVER_TO",
    description: "new folder to make the new cluster in; without it the folder taken becomes it",
    schema: path.optional(),
  },
  nodes: {
    name: "nodes",
    type: "list",
    placeholder: "ID=HOST:PORT,…",
    default: "",
    env: "DQLITE_RECOVER_NODES",
    description: "voters of the new cluster, each with a folder PATH/ID of its own (needs --to)",
    schema: z.array(nodeAt),
  },
  acceptDataLoss: {
    name: "accept-data-loss",
    type: "flag",
    env: "DQLITE_ACCEPT_DATA_LOSS",
    description: "go on although something may be lost",
    schema: flag(),
  },
  dryRun: {
    name: "dry-run",
    type: "flag",
    env: "DQLITE_DRY_RUN",
    description: "only say what each folder holds, and what would be done and lost",
    schema: flag(),
  },
} as const satisfies OptionTable;

/** Replaces what is there already. */
const FORCE = {
  name: "force",
  type: "flag",
  env: "DQLITE_FORCE",
  description: "replace a file that is there already",
  schema: flag(),
} as const satisfies Option;

const NO_VERIFY = {
  name: "no-verify",
  type: "flag",
  env: "DQLITE_NO_VERIFY",
  description: "do not let SQLite look for damage in the file",
  schema: flag(),
} as const satisfies Option;

const NODES_URL = {
  ...SHELL_OPTIONS.url,
  description: "HTTP address of one node or several; the first that answers is taken",
} as const satisfies Option;

/** Options of `dqlite backup`. */
export const BACKUP_OPTIONS = {
  url: NODES_URL,
  db: DATABASE,
  force: FORCE,
  noVerify: NO_VERIFY,
  stale: {
    name: "stale",
    type: "flag",
    env: "DQLITE_STALE",
    description: "take what the node has, also when no leader answers; it may lack the latest",
    schema: flag(),
  },
  config: CONFIG,
} as const satisfies OptionTable;

/** Options of `dqlite restore`. */
export const RESTORE_OPTIONS = {
  url: NODES_URL,
  db: { ...DATABASE, description: "name of the database; made when missing (default: main)" },
  archive: {
    ...SERVE_OPTIONS.archive,
    // The variable of `serve` does not say that a file is not meant.
    env: "DQLITE_RESTORE_ARCHIVE",
    description: "restore a point in time from an archive, in place of a file",
  },
  at: {
    name: "at",
    type: "text",
    placeholder: "POINT",
    env: "DQLITE_RESTORE_AT",
    description: "the point: an entry's index, a time such as 2026-03-01T12:00:00Z, or latest",
    schema: pointInTime.optional(),
  },
  to: {
    name: "to",
    type: "text",
    placeholder: "FILE",
    env: "DQLITE_RESTORE_TO",
    description: "make a SQLite file of the point, in place of putting it into a cluster",
    schema: path.optional(),
  },
  list: {
    name: "list",
    type: "flag",
    env: "DQLITE_RESTORE_LIST",
    description: "show which points an archive can restore",
    schema: flag(),
  },
  cluster: {
    name: "cluster",
    type: "text",
    placeholder: "ID",
    env: "DQLITE_RESTORE_CLUSTER",
    description: "which cluster, when an archive holds several",
    schema: z.string().regex(/^[0-9a-f]{32}$/, { error: "must be 32 hexadecimal digits" })
      .optional(),
  },
  dir: {
    name: "dir",
    type: "text",
    placeholder: "PATH",
    env: "DQLITE_RESTORE_DIR",
    description: "instead of a cluster that runs: the folder of a new one, missing or empty",
    schema: path.optional(),
  },
  force: { ...FORCE, description: "replace a database that is not empty" },
} as const satisfies OptionTable;

/** Options of `dqlite dump`. */
export const DUMP_OPTIONS = {
  url: NODES_URL,
  db: DATABASE,
  force: FORCE,
  config: CONFIG,
} as const satisfies OptionTable;

/** Options of `dqlite databases`. */
export const DATABASES_OPTIONS = {
  url: NODES_URL,
  config: CONFIG,
} as const satisfies OptionTable;

/** Every table, for the keys a config file may have. */
export const ALL_OPTIONS: readonly OptionTable[] = [
  SERVE_OPTIONS,
  SHELL_OPTIONS,
  DEMO_OPTIONS,
  INSPECT_OPTIONS,
  RECOVER_OPTIONS,
  BACKUP_OPTIONS,
  RESTORE_OPTIONS,
  DUMP_OPTIONS,
  DATABASES_OPTIONS,
];

function flag() {
  return z.enum(["true", "false"], { error: "must be true or false" }).optional()
    .transform((text) => text === "true");
}

function oneOf<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(", ")}` });
}

function wholeNumber(lowest: number, highest: number) {
  const error = `must be a whole number from ${lowest} to ${highest}`;
  return z.string().regex(/^\d{1,15}$/, { error }).transform(Number)
    .refine((n) => n >= lowest && n <= highest, { error });
}

function isHostPort(text: string): boolean {
  const match = /^(?:\[[0-9a-fA-F:.%]+\]|[^\s:[\]/]+):(\d{1,5})$/.exec(text);
  return match !== null && Number(match[1]) <= 65_535;
}

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:");
}
