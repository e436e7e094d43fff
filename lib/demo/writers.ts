import { below, type Random } from "../base/random.ts";
import type { Places } from "./dataset.ts";
import type { Attempt, Ledger } from "./ledger.ts";
import type { NodeProcess } from "./nodes.ts";
import { type HranaValue, integer, query, text, transaction } from "./sql.ts";
import { DemoFailure, pause } from "./wait.ts";

/** The table of the demo. `batch` names the transaction, `place` the row of the data set. */
export const SCHEMA: readonly string[] = [
  "CREATE TABLE IF NOT EXISTS place(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, " +
  "place INTEGER NOT NULL, name TEXT NOT NULL, country TEXT NOT NULL, admin1 TEXT NOT NULL, " +
  "admin2 TEXT NOT NULL, lat REAL NOT NULL, lng REAL NOT NULL)",
  "CREATE INDEX IF NOT EXISTS place_country ON place(country, name)",
];
const INSERT = "INSERT INTO place(batch, place, name, country, admin1, admin2, lat, lng) " +
  "VALUES(?, ?, ?, ?, ?, ?, ?, ?)";

/** Rows of the largest transaction; small ones are far more frequent. */
const ROWS_MAX = 200;
/** One transaction in so many ends with a row that the table refuses. */
const SPOILED_ONE_IN = 20;
/** Pause after an error, so that a writer of a node that is down does not spin. */
const ERROR_PAUSE_MS = 100;

/** Hands out the places of the data set to writers; past the end it starts over. */
export class PlaceQueue {
  #next = 0;

  /** The first of `rows` places that nobody else gets. */
  take(rows: number): number {
    const first = this.#next;
    this.#next += rows;
    return first;
  }

  /** How many were handed out. */
  get taken(): number {
    return this.#next;
  }
}

/** What all writers share. */
export interface WriterOptions {
  readonly places: Places;
  readonly queue: PlaceQueue;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/**
 * Writes places through one node, whatever becomes of it, until the signal comes. A transaction
 * that was refused is sent again as a new one; one whose outcome is unknown never is.
 */
export async function runWriter(node: NodeProcess, options: WriterOptions): Promise<void> {
  const { queue, ledger, random, signal } = options;
  while (!signal.aborted) {
    const share = random.next() / 2 ** 32;
    const rows = 1 + Math.floor(share ** 3 * ROWS_MAX);
    const firstPlace = queue.take(rows);
    if (below(random, SPOILED_ONE_IN) === 0) {
      await attempt(node, ledger.begin(firstPlace, rows), options, true);
    }
    while (!signal.aborted) {
      const sent = ledger.begin(firstPlace, rows);
      await attempt(node, sent, options, false);
      if (sent.answer === "acknowledged") break;
      await pause(ERROR_PAUSE_MS, signal);
      if (sent.answer === "unknown") break;
    }
  }
}

/** Sends one transaction and notes the answer. A spoiled one ends with a row without a name. */
async function attempt(
  node: NodeProcess,
  sent: Attempt,
  { places, ledger }: WriterOptions,
  spoiled: boolean,
): Promise<void> {
  const rows: HranaValue[][] = [];
  for (let row = 0; row < sent.rows; row++) {
    const number = sent.firstPlace + row;
    const place = places.at(number);
    const withoutName = spoiled && row === sent.rows - 1;
    rows.push([
      integer(sent.batch),
      integer(number),
      withoutName ? { type: "null" } : text(place.name),
      text(place.country),
      text(place.admin1),
      text(place.admin2),
      { type: "float", value: place.lat },
      { type: "float", value: place.lng },
    ]);
  }
  const reply = await transaction(node.url, INSERT, rows);
  ledger.answer(sent, reply.type === "ok" ? "acknowledged" : reply.outcome);
}

/** Makes the table. @throws {DemoFailure} when the node refuses. */
export async function createTable(node: NodeProcess): Promise<void> {
  for (const statement of SCHEMA) {
    const reply = await query(node.url, statement);
    if (reply.type === "error") throw new DemoFailure(`Could not make the table: ${reply.message}`);
  }
}
