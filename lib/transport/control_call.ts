import { ByteWriter } from "../base/bytes.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { CONTROL_BYTES_MAX } from "../base/limits.ts";
import { parseAddress } from "../io/address.ts";
import { type Clock, systemClock } from "../io/clock.ts";
import type { Network } from "../io/network.ts";
import { decodeControlResponse, writeControlRequest } from "../wire/control.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { helloOf } from "./handshake.ts";
import { dial } from "./dial.ts";

/** One request to the cluster port of a node. */
export interface ControlCall {
  readonly network: Network;
  readonly clock?: Clock;
  /** `HOST:PORT` of the node. */
  readonly address: string;
  /** The cluster that must be met there; undefined when any will do. */
  readonly clusterId?: string | undefined;
  readonly method: string;
  /** Goes out as JSON. */
  readonly params: unknown;
  /** For everything: dialling, handshake, request and answer. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends one request to a node and returns the answer, over a connection of its own.
 *
 * @throws {DatabaseError} what the node answered; `HANDSHAKE` when it is another cluster's;
 * `CONNECTION_LOST` when it cannot be reached or does not answer in time, with the outcome
 * `rejected` when the request was not sent; `CLOSED` when `signal` was raised; `CONFIG` when the
 * address is not valid; `TOO_LARGE` when the request is.
 */
export async function controlCall(call: ControlCall): Promise<unknown> {
  const { network, clock = systemClock, clusterId, signal } = call;
  const address = parseAddress(call.address);
  const request = requestBytes(call);
  const where = `${call.method} at ${call.address}`;
  if (signal?.aborted) throw new DatabaseError("CLOSED", `${where} was cancelled`);

  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let isSent = false;
  const lost = (why: string, cause?: unknown) =>
    new DatabaseError("CONNECTION_LOST", `${where}: ${why}`, {
      outcome: isSent ? "unknown" : "rejected",
      cause,
    });
  const identity = { clusterId: () => clusterId, nodeId: 0, bootId: 0 };
  const hello = helloOf(identity, "control", 0);
  const channel = dial({ network, clock, address, hello, bodyBytesMax: CONTROL_BYTES_MAX }, {
    onEstablished() {
      isSent = true;
      channel.write(request);
    },
    onFrame(frame) {
      if (frame.type !== "control_response") {
        return channel.violation(`Unexpected frame: ${frame.type}`);
      }
      const response = channel.read(() => decodeControlResponse(frame.body));
      if (response === undefined) return;
      if ("error" in response) reject(response.error);
      else resolve(response.result);
      channel.end();
    },
    onDrain: () => {},
    onClose: (reason) => reject(closeError(reason, lost)),
  });
  const cancelTimer = clock.after(call.timeoutMs, () => {
    reject(lost(`no answer within ${call.timeoutMs} ms`));
  });
  const onAbort = () => {
    const outcome = isSent ? "unknown" : "rejected";
    reject(new DatabaseError("CLOSED", `${where} was cancelled`, { outcome }));
  };
  signal?.addEventListener("abort", onAbort);
  try {
    return await promise;
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", onAbort);
    channel.fail(undefined);
  }
}

function closeError(
  reason: Error | undefined,
  lost: (why: string, cause?: unknown) => DatabaseError,
): DatabaseError {
  if (reason instanceof DatabaseError && reason.code === "HANDSHAKE") return reason;
  return lost(reason === undefined ? "the connection was closed" : messageOf(reason), reason);
}

function requestBytes({ method, params }: ControlCall): Uint8Array {
  const writer = new ByteWriter();
  writeControlRequest(writer, { method, params });
  if (writer.length <= FRAME_HEADER_BYTES + CONTROL_BYTES_MAX) return writer.view();
  const message = `The request ${method} has more than ${CONTROL_BYTES_MAX} bytes`;
  throw new DatabaseError("TOO_LARGE", message);
}
