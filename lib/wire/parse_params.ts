import { z } from "zod";
import { DatabaseError } from "../base/errors.ts";

/**
 * Holds what a control call carries against its schema.
 *
 * @param what Names it in the error.
 * @throws {DatabaseError} `PROTOCOL` naming what is wrong.
 */
export function parseParams<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new DatabaseError("PROTOCOL", `Bad ${what}: ${z.prettifyError(result.error)}`);
}
