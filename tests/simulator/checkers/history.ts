/**
 * What was committed, by whoever said so first: entries, transactions, and the pages after each.
 * Everybody who commits, applies or reads later has to agree with it.
 */
import { crc32c } from "../../../lib/base/crc32c.ts";
import type { Configuration, Entry, LogIndex, Term } from "../../../lib/raft/types.ts";
import { decodeCommand, Pages, type Part } from "../pages.ts";
import { require } from "./violation.ts";

interface Committed {
  readonly term: Term;
  /** The term in which it was first known to be committed. */
  readonly inTerm: Term;
  /** What kind of entry it is, and what it holds. */
  readonly identity: string;
  /** Digest of the pages after this entry; undefined before there is a database. */
  readonly digest: number | undefined;
  /** Transactions after this entry. */
  readonly count: number;
}

/** The committed log, with its meaning. */
export class History {
  readonly entries: Committed[] = [];
  /** Ids of the committed transactions, in order. */
  readonly ids: number[] = [];
  readonly #positions = new Map<number, number>();
  /** The chain of page 0 after each number of transactions. */
  readonly #chains: number[] = [0];
  /** Digests after whole batches, by the number of transactions. */
  readonly #digests = new Map<number, number>();
  #pages: Pages | undefined;
  #parts: Part[] = [];
  /** The latest configuration that was committed. */
  lastConfiguration: Configuration | undefined;
  /** Batches that were begun and never ended. */
  abandoned = 0;

  get lastIndex(): LogIndex {
    return this.entries.length;
  }

  /** The place of a transaction, from 1; undefined when it is not committed. */
  positionOf(id: number): number | undefined {
    return this.#positions.get(id);
  }

  /** The last entry that was committed before `term` began, as far as anybody knew. */
  lastBefore(term: Term): LogIndex {
    let index = this.entries.length;
    while (index > 0 && this.entries[index - 1]!.inTerm >= term) index--;
    return index;
  }

  /** A node commits the entry after the last one that anybody committed. */
  add(entry: Entry, inTerm: Term, refused: ReadonlySet<number>): void {
    const index = this.entries.length + 1;
    require(entry.index === index, () => `entry ${entry.index} is committed after ${index - 1}`);
    if (entry.type === "command") this.#take(entry.payload, index, refused);
    if (entry.type === "configuration") this.lastConfiguration = entry.configuration;
    this.entries.push({
      term: entry.term,
      inTerm,
      identity: identityOf(entry),
      digest: this.#pages?.digest(),
      count: this.ids.length,
    });
  }

  /** A node commits an entry that another one committed before. */
  agree(entry: Entry, who: string): void {
    const known = this.entries[entry.index - 1];
    require(
      known !== undefined && known.term === entry.term && known.identity === identityOf(entry),
      () => `${who} commits another entry ${entry.index}: term ${entry.term}, not ${known?.term}`,
    );
  }

  /** The pages of a node that applied everything up to `index`. */
  shows(index: LogIndex, pages: Pages, who: string): void {
    const known = this.entries[index - 1];
    require(known !== undefined, () => `${who} applied entry ${index}, which nobody committed`);
    require(
      known.digest === pages.digest(),
      () => `${who} shows other pages at ${index}: ${pages.count} transactions, not ${known.count}`,
    );
  }

  /** Pages that a checkpoint may hold: those after some whole batch. */
  wholeBatch(pages: Pages, who: string): void {
    require(
      this.#digests.get(pages.count) === pages.digest(),
      () => `${who} releases pages that were never committed, with ${pages.count} transactions`,
    );
  }

  /** What a read returned: the first `count` transactions, and nothing else. */
  read(count: number, chain: number, who: string): void {
    require(
      this.#chains[count] === chain,
      () => `${who}: a read shows ${count} transactions that were not committed so`,
    );
  }

  #take(payload: Uint8Array, index: LogIndex, refused: ReadonlySet<number>): void {
    const command = decodeCommand(payload);
    if (command.type === "create") {
      require(this.#pages === undefined, () => `the database is created again at ${index}`);
      this.#pages = new Pages();
      this.#digests.set(0, this.#pages.digest());
      return;
    }
    if (command.first) {
      if (this.#parts.length > 0) this.abandoned++;
      this.#parts = [];
    }
    this.#parts.push(command);
    if (!command.last) return;
    for (const { ids } of this.#parts) for (const id of ids) this.#run(id, refused);
    this.#parts = [];
    const pages = this.#pages;
    if (pages !== undefined) this.#digests.set(pages.count, pages.digest());
  }

  #run(id: number, refused: ReadonlySet<number>): void {
    require(!this.#positions.has(id), () => `transaction ${id} is committed twice`);
    require(!refused.has(id), () => `transaction ${id} was refused, and is committed`);
    require(this.#pages !== undefined, () => `transaction ${id} before there is a database`);
    this.#pages.run(id);
    this.ids.push(id);
    this.#positions.set(id, this.ids.length);
    this.#chains.push(this.#pages.chain);
  }
}

/** Names what an entry holds. */
function identityOf(entry: Entry): string {
  switch (entry.type) {
    case "noop":
      return "noop";
    case "command":
      return `command ${entry.payload.length} ${crc32c(entry.payload)}`;
    case "configuration": {
      const { voters, votersOutgoing, learners } = entry.configuration;
      return `configuration ${voters.join()} ${votersOutgoing.join()} ${learners.join()}`;
    }
  }
}
