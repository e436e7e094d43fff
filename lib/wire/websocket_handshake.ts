/** The request that asks for a WebSocket (RFC 6455, section 4.2.1). */

/** What a server needs of it. */
export interface WebSocketHandshake {
  /** Sent back, hashed, to show that the request was understood. */
  readonly key: string;
  /** The subprotocols that the client speaks, the one it likes best first. */
  readonly protocols: readonly string[];
}

/** Why there will be no WebSocket. */
export interface HandshakeRefusal {
  readonly status: 400 | 426;
  readonly message: string;
}

/** Sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const VERSION = "13";

/**
 * Reads the handshake of a GET.
 *
 * @param header The value of a header by its name in lower case.
 */
export function readHandshake(
  header: (name: string) => string | undefined,
): WebSocketHandshake | HandshakeRefusal {
  if (!hasToken(header("upgrade"), "websocket") || !hasToken(header("connection"), "upgrade")) {
    return { status: 426, message: "Only a WebSocket is served here" };
  }
  if (header("sec-websocket-version") !== VERSION) {
    return { status: 426, message: `Only version ${VERSION} of WebSocket is spoken here` };
  }
  const key = header("sec-websocket-key") ?? "";
  if (!KEY.test(key)) {
    return { status: 400, message: "The Sec-WebSocket-Key is not 16 bytes in base64" };
  }
  return { key, protocols: listOf(header("sec-websocket-protocol")) };
}

function hasToken(list: string | undefined, token: string): boolean {
  return listOf(list).some((part) => part.toLowerCase() === token);
}

function listOf(list: string | undefined): string[] {
  if (list === undefined) return [];
  return list.split(",").map((part) => part.trim()).filter((part) => part !== "");
}
