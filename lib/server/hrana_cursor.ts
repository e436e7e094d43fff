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
    this.#reader = result === undefined ? undefined : readerOf(result);
    if (this.#reader === undefined) return this.close();
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
      this.#host.answer(answerTo(this.#fetches[count++]!, reader));
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

/** The result of another node need not be what it should: then there is nothing to read. */
function readerOf(result: Json): CursorReader | undefined {
  try {
    return new CursorReader(result);
  } catch (error) {
    if (error instanceof DatabaseError) return undefined;
    throw error;
  }
}

function answerTo({ requestId, maxCount }: Fetch, reader: CursorReader): Json {
  const bounds = { count: Math.min(maxCount, CURSOR_ENTRIES_MAX), bytes: CURSOR_BYTES_MAX };
  try {
    return encodeEntries(requestId, reader.next(bounds));
  } catch (error) {
    if (error instanceof DatabaseError) return encodeRefusal(requestId, encodeErrorBody(error));
    throw error;
  }
}

const NOT_OPEN = encodeErrorBody(
  new DatabaseError("PROTOCOL", "The cursor could not be opened, or was closed"),
);
