import { DatabaseError, messageOf } from "../base/errors.ts";
import type { PlainError } from "./worker_messages.ts";

/** An error as plain data, to cross to another thread. */
export function toPlain(error: DatabaseError): PlainError {
  const { code, message, outcome, hint } = error;
  return { code, message, outcome, hint };
}

/** The error that {@linkcode toPlain} made plain. */
export function fromPlain(plain: PlainError): DatabaseError {
  const { code, message, outcome, hint } = plain;
  return new DatabaseError(code, message, hint === undefined ? { outcome } : { outcome, hint });
}

/** Whatever was thrown in a worker as plain data. */
export function asPlain(error: unknown): PlainError {
  return toPlain(
    error instanceof DatabaseError ? error : new DatabaseError("SQLITE", messageOf(error)),
  );
}
