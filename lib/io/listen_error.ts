import { DatabaseError, messageOf } from "../base/errors.ts";
import { formatAddress, type HostPort } from "./address.ts";

/** Why an address cannot be listened on, from the system's error. */
export function listenError(address: HostPort, error: Error & { code?: string }): DatabaseError {
  const where = formatAddress(address);
  const cause = { cause: error };
  switch (error.code) {
    case "EADDRINUSE":
      return new DatabaseError("ADDRESS", `The address ${where} is taken by another program`, {
        hint: "Stop the other program, or choose another port.",
        ...cause,
      });
    case "EACCES":
      return new DatabaseError("ADDRESS", `This user may not listen on ${where}`, {
        hint: "Choose a port above 1023.",
        ...cause,
      });
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return new DatabaseError("ADDRESS", `${where} is not an address of this machine`, cause);
    default:
      return new DatabaseError("ADDRESS", `Cannot listen on ${where}: ${messageOf(error)}`, cause);
  }
}
