/**
 * What the simulator needs of the databases of its nodes. There are two kinds: a few pages
 * (`pages.ts`, `page_machine.ts`), and real SQLite (`sqlite/`).
 */
import type { Disk } from "../../lib/io/disk.ts";
import type { LogIndex } from "../../lib/raft/types.ts";
import type { StateMachine } from "../../lib/replica/state_machine.ts";
import type { Counters } from "./marks.ts";
import type { Settings } from "./settings.ts";
import type { World } from "./world.ts";

/** The transactions that somebody sees. */
export interface Head {
  readonly count: number;
  /** Names them, in order. */
  readonly chain: number;
}

/** What a database holds. */
export interface Content extends Head {
  /** Names the content of all pages. */
  digest(): number;
}

/** A committed transaction, and the chain after it. */
export interface Ran {
  readonly id: number;
  readonly chain: number;
}

/** What an entry of the log says. */
export type Taken =
  | { readonly type: "create" }
  | {
    readonly type: "part";
    readonly first: boolean;
    /** The transactions of the batch, in order, once its last part is there. */
    readonly ran: readonly Ran[] | undefined;
  };

/** The database that the committed log means, kept by one who sees every entry once. */
export interface Reference {
  /** Undefined until the database is created. */
  readonly content: Content | undefined;
  /** The next committed command. */
  take(payload: Uint8Array): Taken;
}

/** A checkpoint's work on the file. */
export interface PageCopy {
  first(): void;
  second(): void;
  /** Whether the file then holds all that is committed and durable: no reader is in the way. */
  readonly complete: boolean;
}

/** The database file, as a snapshot copies it. */
export interface PageTransfer {
  readonly chunks: number;
  read(chunk: number): Uint8Array;
  /** Not durable. */
  write(chunk: number, bytes: Uint8Array): void;
}

/** What the machine tells the one who watches. */
export interface MachineEvents {
  /** A command is about to be applied. */
  applying(index: LogIndex): void;
  /** Everything up to `content` may be checkpointed. */
  released(content: Content): void;
  /** The file holds everything up to `index`, it is going to be said. */
  copied(index: LogIndex, content: Content): void;
  rewound(ids: readonly number[]): void;
  rewindDelayed(): void;
  merged(transactions: number): void;
  batchInParts(parts: number): void;
  createdAgain(): void;
}

/** What a machine is made of. */
export interface MachineOptions {
  readonly nodeId: number;
  readonly world: World;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly disk: Disk;
  readonly folder: string;
  readonly events: MachineEvents;
}

/** A state machine with those who use its database. */
export interface SimulatedMachine extends StateMachine {
  readonly exists: boolean;
  /** What a statement would see now. */
  readonly content: Content;
  /**
   * Runs the statement of a client that reads.
   *
   * @param quick As one that is run as soon as it arrives.
   */
  read(quick: boolean): Head;
  /** Begins a local transaction that takes its time; false when it is one that does not. */
  begin(id: number): boolean;
  /**
   * Runs a local transaction, or the rest of the one that was begun.
   *
   * @returns Its number; undefined when this node does not lead.
   */
  write(id: number): number | undefined;
  /** Says, durably, that a copy of the pages into the file begins. */
  beginCheckpoint(index: LogIndex): void;
  /** A copy of what is released into the file, in two halves. */
  beginCopy(): PageCopy;
  /** Makes the file durable and says, durably, that it holds everything up to `index`. */
  completeCheckpoint(index: LogIndex): void;
  /** Undefined when its nodes take no snapshots, so that no log may be compacted. */
  readonly transfer: PageTransfer | undefined;
  /** Leadership is lost; those who run statements do not know yet. */
  retire(): void;
  /** Everybody has to let go of the database. */
  letGo(): void;
  /** The life of the node is over. */
  end(): void;
}

/** The kind of database that all nodes of a run have. */
export interface Databases {
  /** The command that creates the database. */
  readonly creation: Uint8Array<ArrayBuffer>;
  newReference(): Reference;
  newMachine(options: MachineOptions): SimulatedMachine;
  /** Checks what can only be checked when all is said and done. */
  atEnd(ids: readonly number[]): void;
  /** Gives back everything, also after a failure. */
  close(): void;
}

/** A mode of the simulator. */
export interface Mode {
  /** Fits what a seed drew to this kind of databases. */
  settings(drawn: Settings): Settings;
  /** Makes the databases of one run. */
  open(settings: Settings): Databases;
}
