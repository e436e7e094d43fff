/** Thrown when the program's own reasoning turned out wrong. It is never caught to go on. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/**
 * States an invariant. Assertions stay on in production: a node that has lost track of its own
 * state must stop rather than answer.
 *
 * @param message What was expected, with the values that broke it.
 * @throws {AssertionError} when `condition` is false.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/**
 * Marks a branch that the types have ruled out.
 *
 * @throws {AssertionError} always.
 */
export function unreachable(value: never): never {
  throw new AssertionError(`Unreachable value: ${JSON.stringify(value)}`);
}

/**
 * Returns `value`, which the caller knows to be present.
 *
 * @throws {AssertionError} when it is undefined.
 */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new AssertionError(`Missing ${what}`);
  return value;
}
