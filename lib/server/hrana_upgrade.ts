/** Answers the request for a WebSocket that speaks Hrana. */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import type { WebSocketConnection, WebSocketHandler } from "../io/websocket.ts";
import { type HranaVersion, SUBPROTOCOLS } from "../wire/hrana/socket_decode.ts";
import { readHandshake } from "../wire/websocket_handshake.ts";
import { errorReply } from "./replies.ts";

/** What clients that name no version speak. */
const OLDEST: HranaVersion = 1;

/**
 * Answers a GET.
 *
 * @param open Serves a connection that speaks a version.
 */
export function handleUpgrade(
  request: HttpRequest,
  open: (connection: WebSocketConnection, version: HranaVersion) => WebSocketHandler,
): HttpReply {
  const header = (name: string) => request.method === "GET" ? request.header(name) : undefined;
  const handshake = readHandshake(header);
  if ("status" in handshake) {
    const reply = errorReply(new DatabaseError("PROTOCOL", handshake.message), handshake.status);
    if (handshake.status !== 426) return reply;
    return { ...reply, headers: { upgrade: "websocket", "sec-websocket-version": "13" } };
  }
  const { key, protocols } = handshake;
  const protocol = [...SUBPROTOCOLS.keys()].find((name) => protocols.includes(name));
  if (protocol === undefined && protocols.length > 0) {
    const known = [...SUBPROTOCOLS.keys()].join(", ");
    return errorReply(new DatabaseError("PROTOCOL", `The subprotocols here are ${known}`));
  }
  const version = protocol === undefined ? OLDEST : SUBPROTOCOLS.get(protocol)!;
  const upgrade = {
    key,
    protocol,
    open: (connection: WebSocketConnection) => open(connection, version),
  };
  return { status: 101, contentType: "text/plain", body: "", upgrade };
}
