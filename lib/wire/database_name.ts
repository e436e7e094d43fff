import { DatabaseError } from "../base/errors.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const SHOWN_LENGTH = 80;

/** Whether a database can have this name: up to 64 letters, digits, `_` and `-`. */
export function isDatabaseName(name: string): boolean {
  return NAME.test(name);
}

/** @throws {DatabaseError} `DATABASE_NAME` when no database can have this name. */
export function requireDatabaseName(name: string): string {
  if (isDatabaseName(name)) return name;
  throw new DatabaseError(
    "DATABASE_NAME",
    `${JSON.stringify(name.slice(0, SHOWN_LENGTH))} is no name for a database`,
    { hint: "A name has 1 to 64 letters, digits, _ and -, and begins with a letter or digit" },
  );
}
