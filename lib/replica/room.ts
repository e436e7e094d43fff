import { DatabaseError } from "../base/errors.ts";
import type { RaftLog } from "../log/types.ts";
import type { Message } from "../raft/types.ts";

/** What still goes into the log of a node whose disk is full. */
export class Room {
  readonly #log: Pick<RaftLog, "space" | "hasRoomFor">;
  /** Entries that the core took, or may have taken, and the log does not have yet. */
  #count = 0;
  #bytes = 0;

  constructor(log: Pick<RaftLog, "space" | "hasRoomFor">) {
    this.#log = log;
  }

  /** Why no write may begin on a leader; undefined when there is space. */
  get refusal(): DatabaseError | undefined {
    if (this.#log.space === "ok") return undefined;
    return new DatabaseError("DISK_FULL", "The disk of the leader is full: nothing is written", {
      hint: "Free space on its disk, or hand leadership to another node; " +
        "writes go on by themselves",
    });
  }

  /** Whether a message may be taken. One that may not counts as lost: the leader sends it again. */
  takeMessage(message: Message): boolean {
    // The log would have to begin anew, in a segment for which there is no space.
    if (message.type === "snapshot_offer") return this.#log.space === "ok";
    if (message.type !== "append_request" || this.#log.space === "ok") return true;
    let bytes = 0;
    for (const entry of message.entries) {
      if (entry.type === "command") bytes += entry.payload.length;
    }
    return message.entries.length === 0 || this.take(message.entries.length, bytes);
  }

  /** Whether there is room for entries beside those that the log will be given anyway. */
  take(count: number, payloadBytes: number): boolean {
    if (this.#log.space === "ok") return true;
    const total = this.#bytes + payloadBytes;
    if (!this.#log.hasRoomFor(this.#count + count, total)) return false;
    this.#count += count;
    this.#bytes = total;
    return true;
  }

  /** The log has everything that the core took. */
  written(): void {
    this.#count = 0;
    this.#bytes = 0;
  }
}
