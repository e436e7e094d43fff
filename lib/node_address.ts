/** How others reach a node, given where it listens. */
import { DatabaseError } from "./base/errors.ts";
import { parseAddress } from "./io/address.ts";

/**
 * An address that others can use.
 *
 * @throws {DatabaseError} `CONFIG` when it means every address of this machine.
 */
export function reachable(address: string): string {
  if (!isEveryAddress(parseAddress(address).host)) return address;
  throw new DatabaseError(
    "CONFIG",
    `Other nodes cannot reach ${address}: name an address of this machine with --advertise`,
  );
}

/** Whether a host means every address of this machine. */
export function isEveryAddress(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
