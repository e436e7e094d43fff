/**
 * Hrana over WebSocket, versions 1 to 3 in JSON: one connection with its streams, cursors and
 * stored texts. The sources are the specifications in `docs/` of the libSQL repository.
 */
import { DatabaseError } from "../base/errors.ts";
import {
  STORED_SQL_MAX,
  WEBSOCKET_REQUESTS_MAX,
  WEBSOCKET_STORED_CHARS_MAX,
  WEBSOCKET_STREAM_IDLE_MS,
  WEBSOCKET_STREAMS_MAX,
} from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { WebSocketConnection, WebSocketHandler } from "../io/websocket.ts";
import type { Sessions } from "../session/types.ts";
import { encodeErrorBody } from "../wire/hrana/encode.ts";
import {
  decodeClientMessage,
  decodeSocketRequest,
  type HranaVersion,
  HranaViolation,
  type SocketRequest,
  type StreamTask,
} from "../wire/hrana/socket_decode.ts";
import { encodeDone, encodeRefusal, HELLO_OK } from "../wire/hrana/socket_encode.ts";
import type { Json } from "../wire/hrana/types.ts";
import { CLOSE } from "../wire/websocket.ts";
import { HranaCursor } from "./hrana_cursor.ts";
import { HranaStream, type StreamHost } from "./hrana_stream.ts";
import type { Proxy } from "./proxy.ts";
import { StreamRoute } from "./stream_route.ts";

/** What a connection needs of its server. */
export interface HranaSocketOptions {
  readonly sessions: Sessions;
  readonly proxy: Proxy;
  /** The name of the database of its streams; undefined for the first one. */
  readonly database: string | undefined;
  readonly clock: Clock;
  /** See {@linkcode StreamHost}. */
  readonly admit: () => boolean;
  readonly release: () => void;
  readonly onFailure: (error: unknown) => void;
  /** The connection is gone. */
  readonly onClosed: (socket: HranaSocket) => void;
}

/** See the file comment. */
export class HranaSocket implements WebSocketHandler {
  readonly #connection: WebSocketConnection;
  readonly #version: HranaVersion;
  readonly #options: HranaSocketOptions;
  readonly #host: StreamHost;
  /** Streams by the client's number. */
  readonly #streams = new Map<number, HranaStream>();
  /** Those, and the ones that are being closed. */
  readonly #living = new Set<HranaStream>();
  /** Streams that were asked for something since messages last arrived. */
  readonly #ready: HranaStream[] = [];
  readonly #cursors = new Map<number, HranaCursor>();
  readonly #storedSql = new Map<number, string>();
  #storedChars = 0;
  /** Requests that are not answered yet. */
  #requests = 0;
  #saidHello = false;
  #isHeldBack = false;
  #isClosed = false;
  #onStopped: (() => void) | undefined;
  #cancelKeeping: (() => void) | undefined;

  constructor(
    connection: WebSocketConnection,
    version: HranaVersion,
    options: HranaSocketOptions,
  ) {
    this.#connection = connection;
    this.#version = version;
    this.#options = options;
    const { admit, release, onFailure } = options;
    this.#host = {
      nowMs: () => options.clock.nowMs(),
      isFlowing: () => connection.isFlowing,
      admit,
      release,
      answer: (message) => this.#answer(message),
      onFailure,
      closed: (stream) => void this.#living.delete(stream),
    };
  }

  /** Takes no more requests, answers those under way, and closes. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isClosed) return resolve();
      this.#onStopped = resolve;
      this.#stopIfIdle();
    });
  }

  onMessage(text: string): void {
    try {
      this.#take(text);
    } catch (error) {
      if (error instanceof HranaViolation) this.#connection.close(CLOSE.POLICY, error.message);
      else if (error instanceof DatabaseError) {
        this.#connection.close(CLOSE.INVALID_DATA, error.message);
      } else throw error;
    }
  }

  onArrived(): void {
    for (const stream of this.#ready.splice(0)) stream.dispatch();
    this.#regulate();
  }

  onDrain(): void {
    for (const stream of this.#living) stream.dispatch();
    for (const cursor of this.#cursors.values()) cursor.answer();
    this.#regulate();
  }

  onClose(): void {
    this.#isClosed = true;
    this.#cancelKeeping?.();
    this.#streams.clear();
    this.#ready.length = 0;
    this.#cursors.clear();
    this.#storedSql.clear();
    for (const stream of [...this.#living]) stream.end();
    this.#options.onClosed(this);
    this.#onStopped?.();
  }

  #take(text: string): void {
    const message = decodeClientMessage(text);
    if (message.type === "hello") {
      if (this.#saidHello && this.#version === 1) {
        throw new HranaViolation("In version 1 there is one hello");
      }
      this.#saidHello = true;
      return this.#connection.send(HELLO_OK);
    }
    if (!this.#saidHello) throw new HranaViolation("A request came before the hello");
    const { requestId } = message;
    this.#requests++;
    try {
      if (this.#onStopped !== undefined) {
        throw new DatabaseError("SHUTTING_DOWN", "This node is stopping");
      }
      const stored = (sqlId: number) => this.#storedSql.get(sqlId);
      this.#run(requestId, decodeSocketRequest(message.request, this.#version, stored));
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      this.#answer(encodeRefusal(requestId, encodeErrorBody(error)));
    }
    this.#regulate();
  }

  #run(requestId: number, request: SocketRequest): void {
    switch (request.type) {
      case "run":
        return this.#runOnStream(requestId, request);
      case "open_stream":
        return this.#openStream(requestId, request.streamId);
      case "close_stream":
        return this.#closeStream(requestId, request.streamId);
      case "store_sql":
        return this.#storeSql(requestId, request.sqlId, request.sql);
      case "close_sql":
        return this.#closeSql(requestId, request.sqlId);
      case "fetch_cursor":
        return this.#fetchCursor(requestId, request.cursorId, request.maxCount);
      case "close_cursor":
        return this.#closeCursor(requestId, request.cursorId);
    }
  }

  /** Its session is opened by the first request that runs on it. */
  #openStream(requestId: number, streamId: number): void {
    if (this.#streams.has(streamId)) throw new HranaViolation(`Stream ${streamId} is open already`);
    if (this.#living.size >= WEBSOCKET_STREAMS_MAX) {
      const message = `Cannot open a stream: ${WEBSOCKET_STREAMS_MAX} are open on this connection`;
      throw new DatabaseError("BUSY", message);
    }
    const { sessions, proxy, database } = this.#options;
    const stream = new HranaStream(this.#host, new StreamRoute(sessions, proxy, database));
    this.#streams.set(streamId, stream);
    this.#living.add(stream);
    this.#answer(encodeDone(requestId, "open_stream"));
    this.#keepStreams();
  }

  #closeStream(requestId: number, streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#answer(encodeDone(requestId, "close_stream"));
    this.#streams.delete(streamId);
    if (stream.cursorId !== undefined) this.#forgetCursor(stream.cursorId);
    stream.close(requestId);
    stream.dispatch();
  }

  #runOnStream(requestId: number, task: StreamTask): void {
    const { streamId, request, json, cursorId } = task;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) throw new HranaViolation(`Stream ${streamId} is not open`);
    this.#ready.push(stream);
    if (cursorId === undefined) return stream.add(requestId, request, json);
    if (this.#cursors.has(cursorId)) throw new HranaViolation(`Cursor ${cursorId} is open already`);
    if (stream.cursorId !== undefined) {
      throw new DatabaseError("PROTOCOL", `Stream ${streamId} has an open cursor already`);
    }
    const cursor = new HranaCursor(streamId, this.#host);
    this.#cursors.set(cursorId, cursor);
    stream.cursorId = cursorId;
    stream.add(requestId, request, json, cursor);
  }

  #fetchCursor(requestId: number, cursorId: number, maxCount: number): void {
    const cursor = this.#cursors.get(cursorId);
    if (cursor === undefined) throw new HranaViolation(`Cursor ${cursorId} is not open`);
    cursor.fetch(requestId, maxCount);
  }

  #closeCursor(requestId: number, cursorId: number): void {
    const cursor = this.#cursors.get(cursorId);
    const stream = cursor && this.#streams.get(cursor.streamId);
    if (stream !== undefined) stream.cursorId = undefined;
    this.#forgetCursor(cursorId);
    this.#answer(encodeDone(requestId, "close_cursor"));
  }

  #forgetCursor(cursorId: number): void {
    this.#cursors.get(cursorId)?.close();
    this.#cursors.delete(cursorId);
  }

  #storeSql(requestId: number, sqlId: number, sql: string): void {
    if (this.#storedSql.has(sqlId)) throw new HranaViolation(`SQL text ${sqlId} is stored already`);
    const chars = this.#storedChars + sql.length;
    if (this.#storedSql.size >= STORED_SQL_MAX || chars > WEBSOCKET_STORED_CHARS_MAX) {
      throw new DatabaseError(
        "SQL_STORE_TOO_MANY",
        `Cannot store SQL text ${sqlId}: a connection may hold ${STORED_SQL_MAX}, ` +
          `of ${WEBSOCKET_STORED_CHARS_MAX} characters`,
      );
    }
    this.#storedSql.set(sqlId, sql);
    this.#storedChars = chars;
    this.#answer(encodeDone(requestId, "store_sql"));
  }

  #closeSql(requestId: number, sqlId: number): void {
    this.#storedChars -= this.#storedSql.get(sqlId)?.length ?? 0;
    this.#storedSql.delete(sqlId);
    this.#answer(encodeDone(requestId, "close_sql"));
  }

  #answer(message: Json): void {
    this.#requests--;
    if (this.#isClosed) return;
    this.#connection.send(message);
    this.#regulate();
    this.#stopIfIdle();
  }

  /** Reads no more while too much is under way, or while the client takes no answers. */
  #regulate(): void {
    if (this.#isClosed) return;
    const isFull = this.#requests >= WEBSOCKET_REQUESTS_MAX;
    const hasRoom = this.#requests <= WEBSOCKET_REQUESTS_MAX / 2;
    const { isFlowing } = this.#connection;
    if (!this.#isHeldBack && (isFull || !isFlowing)) {
      this.#isHeldBack = true;
      this.#connection.pause();
    } else if (this.#isHeldBack && hasRoom && isFlowing) {
      this.#isHeldBack = false;
      this.#connection.resume();
    }
  }

  #stopIfIdle(): void {
    if (this.#onStopped === undefined || this.#requests > 0 || this.#isClosed) return;
    this.#connection.close(CLOSE.GOING_AWAY, "The node stops");
  }

  /** A client that lives keeps its streams, however long it thinks. */
  #keepStreams(): void {
    this.#cancelKeeping ??= this.#options.clock.after(WEBSOCKET_STREAM_IDLE_MS / 2, () => {
      this.#cancelKeeping = undefined;
      if (this.#isClosed || this.#living.size === 0) return;
      for (const stream of this.#living) stream.keepAlive(WEBSOCKET_STREAM_IDLE_MS);
      this.#keepStreams();
    });
  }
}
