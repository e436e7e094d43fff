/** Thrown when the cluster broke a promise. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** @throws {Violation} when `condition` is false. */
export function require(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(message());
}
