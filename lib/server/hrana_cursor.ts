/**
 * A cursor of a WebSocket. Clients read from it before they know that it is open, and ask for more
 * than they have taken: what they ask for waits until there is something to read and room for it.
 */
import { DatabaseError } from "../base/errors.ts";
import { CURSOR_BYTES_MAX, CURSOR_ENTRIES_MAX } from "../base/limits.ts";
import { CursorReader } from "../wire/hrana/cursor.ts";
import { encodeErrorBody } from "../wire/hrana/encode.ts";
import { encodeEntries, encodeRefusal } from "../wire/hrana/socket_encode.ts";
import type { Json } from "../wire/hrana/types.ts";

/** What a cursor asks of its connection. */
export interface CursorHost {
  /** Whether the client takes its answers, so that more should be made. */
  readonly isFlowing: () => boolean;
  readonly answer: (message: Json) => void;
}

interface Fetch {
  readonly requestId: number;
  readonly maxCount: number;
}

/** See the file comment. */
export class HranaCursor {
  /** The stream that it is open on. */
  readonly streamId: number;
  readonly #host: CursorHost;
  /** Undefined before its batch is done, and when that failed. */
  #reader: CursorReader | undefined;
  #isClosed = false;
  #fetches: Fetch[] = [];

  constructor(streamId: number, host: CursorHost) {
    this.streamId = streamId;
    this.#host = host;
  }

  /** Its batch is done. @param result Undefined when it failed. */
  settle(result: Json | undefined): void {
    // It may be closed already.
    if (this.#isClosed) return;
    if (result === undefined) return this.close();
    this.#reader = new CursorReader(result);
    this.answer();
  }

  fetch(requestId: number, maxCount: number): void {
    this.#fetches.push({ requestId, maxCount });
    this.answer();
  }

  /** Answers what waits, as far as the client takes it. */
  answer(): void {
    if (this.#isClosed) return this.#refuse();
    const reader = this.#reader;
    if (reader === undefined) return;
    let count = 0;
    while (count < this.#fetches.length && this.#host.isFlowing()) {
      const { requestId, maxCount } = this.#fetches[count++]!;
      const bounds = { count: Math.min(maxCount, CURSOR_ENTRIES_MAX), bytes: CURSOR_BYTES_MAX };
      this.#host.answer(encodeEntries(requestId, reader.next(bounds)));
    }
    this.#fetches.splice(0, count);
  }

  /** There is no more to be read; its result is let go. */
  close(): void {
    this.#isClosed = true;
    this.#reader = undefined;
    this.#refuse();
  }

  #refuse(): void {
    for (const { requestId } of this.#fetches.splice(0)) {
      this.#host.answer(encodeRefusal(requestId, NOT_OPEN));
    }
  }
}

const NOT_OPEN = encodeErrorBody(
  new DatabaseError("PROTOCOL", "The cursor could not be opened, or was closed"),
);
