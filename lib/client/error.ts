import { ERROR_CODES, type Outcome } from "../base/errors.ts";

/** What a {@linkcode ClientError} may tell beside its code and message. */
export interface ClientErrorDetails {
  /** The outcome, where the code does not tell it. */
  readonly outcome?: Outcome;
  readonly hint?: string;
  /** HTTP address of the leader, where the node that refused knows it. */
  readonly leader?: string;
  /** Which statement of a batch failed, from 0. */
  readonly statementIndex?: number;
  readonly extendedCode?: string;
  readonly rawCode?: number;
  readonly cause?: unknown;
}

/**
 * An error of a call to the cluster. Has the fields of the `LibsqlError` of `@libsql/client`, and
 * `outcome`, which answers whether a write may have taken effect.
 */
export class ClientError extends Error {
  override readonly name = "ClientError";
  /** A code of the cluster, or `SQLITE_` and SQLite's name of the base result code. */
  readonly code: string;
  /** `rejected`: it did not happen and will not. `unknown`: it may have happened, or may yet. */
  readonly outcome: Outcome;
  readonly extendedCode?: string;
  readonly rawCode?: number;
  readonly statementIndex?: number;
  /** What can be done now. */
  readonly hint?: string;
  readonly leader?: string;

  constructor(code: string, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.outcome = details.outcome ?? outcomeOf(code);
    if (details.extendedCode !== undefined) this.extendedCode = details.extendedCode;
    if (details.rawCode !== undefined) this.rawCode = details.rawCode;
    if (details.statementIndex !== undefined) this.statementIndex = details.statementIndex;
    if (details.hint !== undefined) this.hint = details.hint;
    if (details.leader !== undefined) this.leader = details.leader;
  }
}

/** The same error with other details. */
export function withDetails(error: ClientError, details: ClientErrorDetails): ClientError {
  const { code, message, outcome, extendedCode, rawCode, statementIndex, hint, leader, cause } =
    error;
  const before = { outcome, extendedCode, rawCode, statementIndex, hint, leader, cause };
  const merged = Object.entries({ ...before, ...details }).filter(([, v]) => v !== undefined);
  return new ClientError(code, message, Object.fromEntries(merged));
}

/**
 * The outcome that a code stands for. A code that is not ours came with the answer to a statement,
 * and a statement that was answered by an error was undone.
 */
function outcomeOf(code: string): Outcome {
  if (code === "SQLITE_IOERR_LEADERSHIP_LOST") return "unknown";
  return Object.hasOwn(ERROR_CODES, code)
    ? ERROR_CODES[code as keyof typeof ERROR_CODES]
    : "rejected";
}
