/**
 * Holds what the databases contain against what was answered. Nothing is taken on trust: every row
 * is read back and compared with the data set.
 */
import type { Places } from "./dataset.ts";
import type { Attempt, Ledger } from "./ledger.ts";
import type { LocalCluster, NodeProcess } from "./nodes.ts";
import { count } from "./progress.ts";
import { type HranaValue, integer, query } from "./sql.ts";
import { DemoFailure, waitUntil } from "./wait.ts";

/** Rows that are read back at once. */
const PAGE_ROWS = 2_000;
const SAME_INDEX_TIMEOUT_MS = 60_000;
/** Lines of evidence for each check. */
const EVIDENCE_MAX = 10;

const READ = "SELECT id, batch, place, name, country, admin1, admin2, lat, lng FROM place " +
  `WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS}`;

/** One thing that was checked. */
export interface Check {
  readonly what: string;
  /** What was looked at. */
  readonly detail: string;
  /** What speaks against it; nothing when it holds. */
  readonly evidence: readonly string[];
}

/** Checks everything the demo promises. */
export async function reachVerdict(
  cluster: LocalCluster,
  ledger: Ledger,
  places: Places,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const pages = await checkPages(cluster, signal);
  const node = cluster.nodes[0]!;
  const found = await readBack(node, ledger, places, signal);
  return [...checkRows(ledger, found), pages, await checkIntegrity(node)];
}

/** What was found of each transaction. */
interface Found {
  /** Rows of each transaction, by its place in the ledger. */
  readonly rows: Uint32Array;
  readonly total: number;
  /** Rows that nobody sent, that are there twice, or that differ from what was sent. */
  readonly wrong: readonly string[];
}

async function readBack(
  node: NodeProcess,
  ledger: Ledger,
  places: Places,
  signal: AbortSignal,
): Promise<Found> {
  const rows = new Uint32Array(ledger.attempts.length);
  const seen = ledger.attempts.map((attempt) => new Uint8Array(attempt.rows));
  const wrong: string[] = [];
  let total = 0;
  for (let last = 0;;) {
    if (signal.aborted) throw new DemoFailure("Interrupted while reading the rows back");
    const reply = await query(node.url, READ, [integer(last)]);
    if (reply.type === "error") throw new DemoFailure(`Could not read back: ${reply.message}`);
    const page = reply.results[0]!.rows;
    for (const row of page) {
      const values = row.map(plain);
      const [id, batch, place] = values as [number, number, number];
      last = id;
      total++;
      const attempt = ledger.attempts[batch];
      const fault = attempt === undefined
        ? "belongs to no transaction"
        : compare(attempt, place, values.slice(3), places, seen[batch]!);
      if (fault === undefined) rows[batch]!++;
      else wrong.push(`row ${id} (transaction ${batch}, place ${place}) ${fault}`);
    }
    if (page.length < PAGE_ROWS) return { rows, total, wrong };
  }
}

/** What is wrong with a row, if anything. */
function compare(
  attempt: Attempt,
  place: number,
  values: readonly unknown[],
  places: Places,
  seen: Uint8Array,
): string | undefined {
  const offset = place - attempt.firstPlace;
  if (!(offset >= 0 && offset < attempt.rows)) return "was not sent by its transaction";
  if (seen[offset] === 1) return "is there twice";
  seen[offset] = 1;
  const { name, country, admin1, admin2, lat, lng } = places.at(place);
  const sent = [name, country, admin1, admin2, lat, lng];
  const differs = sent.findIndex((value, i) => value !== values[i]);
  if (differs === -1) return undefined;
  return `holds ${JSON.stringify(values[differs])}, not ${JSON.stringify(sent[differs])}`;
}

function plain(value: HranaValue): unknown {
  if (value.type === "null") return null;
  return value.type === "integer" ? Number(value.value) : value.value;
}

/** The checks on rows, from what was found of each transaction. */
export function checkRows(ledger: Ledger, found: Found): Check[] {
  const missing: string[] = [];
  const refused: string[] = [];
  const torn: string[] = [];
  let there = 0;
  for (const { batch, rows, answer } of ledger.attempts) {
    const present = found.rows[batch]!;
    const says = `transaction ${batch} (${
      answer ?? "no answer"
    }): ${present} of ${rows} rows there`;
    if (answer === "acknowledged") {
      if (present !== rows) missing.push(says);
    } else if (answer === "rejected") {
      if (present !== 0) refused.push(says);
    } else if (present === rows) there++;
    else if (present !== 0) torn.push(says);
  }
  const unknown = ledger.attempts.length - ledger.count("acknowledged") - ledger.count("rejected");
  return [
    {
      what: "every acknowledged row is there exactly once, as it was sent",
      detail: `${count(ledger.rowsAcknowledged)} rows in ` +
        `${count(ledger.count("acknowledged"))} transactions; ${count(found.total)} rows read`,
      evidence: [...missing, ...found.wrong],
    },
    {
      what: "no refused row is there",
      detail: `${count(ledger.count("rejected"))} transactions, some of them spoiled on purpose`,
      evidence: refused,
    },
    {
      what: "transactions of unknown outcome are there as a whole, or not at all",
      detail: `${count(unknown)} transactions, ${count(there)} there`,
      evidence: torn,
    },
  ];
}

/** Whether all databases hold the same pages as of the same index. */
async function checkPages(cluster: LocalCluster, signal: AbortSignal): Promise<Check> {
  const digests = await waitUntil("all nodes are at one index", SAME_INDEX_TIMEOUT_MS, async () => {
    const views = await Promise.all(cluster.nodes.map((node) => node.cluster()));
    const index = Math.max(...views.map((view) => view.commitIndex));
    const digests = await Promise.all(cluster.nodes.map((node) => node.digest(index)));
    return digests.every((digest) => digest.index === digests[0]!.index) && digests;
  }, signal);
  const { index, sha256, pages } = digests[0]!;
  const same = digests.every((digest) => digest.sha256 === sha256 && digest.pages === pages);
  return {
    what: `all ${cluster.nodes.length} databases hold identical pages at the same index`,
    detail: `index ${count(index)}, ${count(pages)} pages, sha256 ${sha256.slice(0, 16)}…`,
    evidence: same ? [] : digests.map((digest, i) => {
      return `${cluster.nodes[i]!.name}: ${digest.pages} pages, sha256 ${digest.sha256}`;
    }),
  };
}

async function checkIntegrity(node: NodeProcess): Promise<Check> {
  const reply = await query(node.url, "PRAGMA integrity_check");
  const lines = reply.type === "error"
    ? [reply.message]
    : reply.results[0]!.rows.map((row) => String(plain(row[0]!)));
  return {
    what: "SQLite finds the database sound",
    detail: "PRAGMA integrity_check",
    evidence: lines.length === 1 && lines[0] === "ok" ? [] : lines,
  };
}

/** The checks as text, ending with PASS or FAIL. */
export function formatVerdict(checks: readonly Check[]): string {
  const lines: string[] = [];
  for (const { what, detail, evidence } of checks) {
    lines.push(`${evidence.length === 0 ? "ok    " : "FAILED"}  ${what} (${detail})`);
    for (const line of evidence.slice(0, EVIDENCE_MAX)) lines.push(`          ${line}`);
    if (evidence.length > EVIDENCE_MAX) {
      lines.push(`          … and ${evidence.length - EVIDENCE_MAX} more`);
    }
  }
  return [...lines, passed(checks) ? "PASS" : "FAIL"].join("\n");
}

/** Whether nothing speaks against any check. */
export function passed(checks: readonly Check[]): boolean {
  return checks.every((check) => check.evidence.length === 0);
}
