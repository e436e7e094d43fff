import { ByteWriter } from "../base/bytes.ts";
import { DatabaseError } from "../base/errors.ts";
import { CONTROL_BYTES_MAX } from "../base/limits.ts";
import type { ControlRequest, ControlResponse } from "../wire/control.ts";
import { decodeControlRequest, writeControlResponse } from "../wire/control.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import type { Channel, ChannelHandler } from "./channel.ts";
import type { TransportEvents } from "./types.ts";

/**
 * Answers the requests of one connection, one at a time: a caller that sends the next before it has
 * the answer breaks the protocol, so that nothing can pile up.
 */
export function serveControl(
  channel: Channel,
  events: TransportEvents,
  onClose: (reason: Error | undefined) => void,
): ChannelHandler {
  let isBusy = false;
  const answer = async (request: ControlRequest) => {
    const response = await responseTo(request, events, channel.remote);
    isBusy = false;
    channel.write(responseBytes(response));
  };
  return {
    onFrame(frame) {
      if (frame.type !== "control_request") {
        return channel.violation(`Unexpected frame: ${frame.type}`);
      }
      if (isBusy) return channel.violation("A request came before the last one was answered");
      const request = channel.read(() => decodeControlRequest(frame.body));
      if (request === undefined) return;
      isBusy = true;
      void answer(request);
    },
    onDrain: () => {},
    onClose,
  };
}

/** Any error but the expected kind is a fault of the program and goes on to stop it. */
async function responseTo(
  { method, params }: ControlRequest,
  events: TransportEvents,
  remote: string,
): Promise<ControlResponse> {
  try {
    return { result: await events.onControl(method, params, remote) };
  } catch (error) {
    if (error instanceof DatabaseError) return { error };
    throw error;
  }
}

function responseBytes(response: ControlResponse): Uint8Array {
  const writer = new ByteWriter();
  writeControlResponse(writer, response);
  if (writer.length <= FRAME_HEADER_BYTES + CONTROL_BYTES_MAX) return writer.view();
  writer.reset();
  const message = `The answer has more than ${CONTROL_BYTES_MAX} bytes`;
  writeControlResponse(writer, { error: new DatabaseError("TOO_LARGE", message) });
  return writer.view();
}
