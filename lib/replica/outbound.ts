/** Messages of the core on their way to the transport. */
import type { RaftLog } from "../log/types.ts";
import type { Outbound } from "../raft/types.ts";
import type { MessageSender } from "./replica_options.ts";

/** Puts the entries into a message and hands it to the transport. */
export function sendOutbound(log: RaftLog, sender: MessageSender, { to, message }: Outbound): void {
  if (message.type !== "append_range") {
    sender.send(to, message);
    return;
  }
  const { first, last, type: _, ...head } = message;
  const entries = last < first ? [] : log.entries(first, last, Infinity);
  // Truncated since the core asked: the message belongs to a log that is gone.
  if (entries === undefined || entries.length !== Math.max(0, last - first + 1)) return;
  sender.send(to, { type: "append_request", ...head, entries });
}
