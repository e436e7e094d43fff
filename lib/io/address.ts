import { DatabaseError } from "../base/errors.ts";

/** Where a TCP port is: a name or an IP address, and the port's number. */
export interface HostPort {
  readonly host: string;
  /** From 0 to 65535; 0 asks the system for a free one, and only a listener may. */
  readonly port: number;
}

const HINT = "Write HOST:PORT, such as 10.0.0.7:9001, db1.example.org:9001 or [::1]:9001.";
const HOST_LENGTH_MAX = 253;

/**
 * Reads `HOST:PORT`; an IPv6 address stands in brackets (RFC 3986, §3.2.2).
 *
 * @throws {DatabaseError} `CONFIG` when `text` has another form.
 */
export function parseAddress(text: string): HostPort {
  const match = /^(?:\[([^\[\]]*)\]|([^:\[\]]*)):([0-9]{1,5})$/.exec(text);
  if (match === null) throw invalid(text, "it is not of the form HOST:PORT");
  const [, bracketed, plain, digits] = match;
  const host = bracketed ?? plain ?? "";
  const port = Number(digits);
  if (host === "" || host.length > HOST_LENGTH_MAX) throw invalid(text, "the host is missing");
  if (bracketed !== undefined && !/^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%[\w.-]+)?$/.test(bracketed)) {
    throw invalid(text, "brackets hold an IPv6 address");
  }
  if (bracketed === undefined && !/^[\w.-]+$/.test(host)) {
    throw invalid(text, "the host has a character that no name may have");
  }
  if (port > 65_535) throw invalid(text, `the port ${port} is above 65535`);
  return { host, port };
}

/** The text that {@linkcode parseAddress} reads. */
export function formatAddress({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function invalid(text: string, why: string): DatabaseError {
  return new DatabaseError("CONFIG", `The address ${JSON.stringify(text)} is not valid: ${why}`, {
    hint: HINT,
  });
}
