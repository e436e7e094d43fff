import type { DatabaseError } from "../base/errors.ts";
import type { JobDatabase } from "./worker_messages.ts";

/** A database that is open, and stays so until it is let go of. */
export interface HeldDatabase {
  /** Undefined for the first database. */
  readonly database: JobDatabase | undefined;
  readonly letGo: () => void;
}

/** The first database: it is always open. */
export const HELD_MAIN: HeldDatabase = { database: undefined, letGo: () => {} };

/** The databases beside the first one, as sessions need them. */
export interface DatabaseAccess {
  /**
   * The database of a name, which is made if this node leads.
   *
   * @throws {DatabaseError} also as a rejection: `DATABASE_NAME`, `NOT_LEADER` when only the leader
   * can tell whether there is one, and others.
   */
  enter(name: string): JobDatabase | Promise<JobDatabase>;
  /** Sees to it that a database is open; returns why it cannot be. */
  open(id: number): DatabaseError | undefined;
  /** Keeps it open until the function that it returns is called. */
  hold(id: number): () => void;
}

/**
 * Goes on with a database, at once where it is open.
 *
 * @param refuse Told of what either of the two throws.
 */
export function enterDatabase(
  databases: () => DatabaseAccess,
  name: string,
  goOn: (database: JobDatabase) => void,
  refuse: (error: unknown) => void,
): void {
  try {
    const entered = databases().enter(name);
    if (entered instanceof Promise) entered.then(goOn).catch(refuse);
    else goOn(entered);
  } catch (error) {
    refuse(error);
  }
}
