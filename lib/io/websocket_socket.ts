/** A WebSocket over a connection of the HTTP server, once its handshake is done. */
import { createHash } from "node:crypto";
import { concat } from "../base/bytes.ts";
import {
  WEBSOCKET_MESSAGE_BYTES_MAX,
  WEBSOCKET_PING_MS,
  WEBSOCKET_SILENT_MS,
} from "../base/limits.ts";
import {
  CLOSE,
  closeFrame,
  PING_FRAME,
  pongFrame,
  textFrameHead,
  WebSocketError,
  type WebSocketEvent,
  WebSocketReader,
} from "../wire/websocket.ts";
import { systemClock } from "./clock.ts";
import type { Connection, ConnectionHandler } from "./network.ts";
import type { ServedConnection } from "./served_connection.ts";
import type {
  WebSocketConnection,
  WebSocketHandler,
  WebSocketMessage,
  WebSocketUpgrade,
} from "./websocket.ts";

/** What RFC 6455 hashes together with the key of the client. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** A frame up to this size shares a write with its neighbours. */
const JOIN_BYTES_MAX = 64 * 1024;
const NO_BYTES = new Uint8Array(0);
const encoder = new TextEncoder();

/** What a WebSocket asks of its server. */
export interface WebSocketHost {
  onFailure(error: unknown): void;
  closed(connection: ServedConnection): void;
}

/** The head of the reply that ends the handshake. */
export function switchingHead(upgrade: WebSocketUpgrade): Uint8Array {
  const accept = createHash("sha1").update(upgrade.key + ACCEPT_SUFFIX).digest("base64");
  const protocol = upgrade.protocol === undefined
    ? ""
    : `sec-websocket-protocol: ${upgrade.protocol}\r\n`;
  return encoder.encode(
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
      `sec-websocket-accept: ${accept}\r\n${protocol}\r\n`,
  );
}

/** See the file comment. */
export class SocketWebSocket implements WebSocketConnection, ConnectionHandler, ServedConnection {
  readonly #connection: Connection;
  readonly #host: WebSocketHost;
  readonly #handler: WebSocketHandler;
  readonly #reader = new WebSocketReader(WEBSOCKET_MESSAGE_BYTES_MAX);
  /** Frames that wait for the end of the turn, so that they share a write. */
  #out: Uint8Array[] = [];
  #outBytes = 0;
  #flushesSoon = false;
  #cancelLateFlush: (() => void) | undefined;
  #isReading = false;
  #isPaused = false;
  /** The system did not take all that was written yet. */
  #isBlocked = false;
  /** A close was sent, or the connection is gone; the handler is told of nothing any more. */
  #isClosing = false;
  /** What arrives cannot be understood, or means nothing any more. */
  #isDeaf = false;
  #silentMs = 0;

  constructor(connection: Connection, host: WebSocketHost, upgrade: WebSocketUpgrade) {
    this.#connection = connection;
    this.#host = host;
    connection.handler = this;
    this.#handler = upgrade.open(this);
  }

  get isFlowing(): boolean {
    return !this.#isBlocked;
  }

  send(message: WebSocketMessage): void {
    if (this.#isClosing) return;
    this.#scheduleFlush();
    const headAt = this.#out.length;
    const beforeBytes = this.#outBytes;
    this.#out.push(NO_BYTES);
    if (typeof message === "string") this.#push(message);
    else for (const part of message) this.#push(part);
    this.#out[headAt] = textFrameHead(this.#outBytes - beforeBytes);
    // It shows soon enough when the client takes no more.
    if (this.#outBytes > JOIN_BYTES_MAX) this.#flush();
  }

  /** What is said at once waits until the turn is over, as more may follow at its heels. */
  #scheduleFlush(): void {
    if (this.#isReading) {
      this.#cancelLateFlush ??= systemClock.after(0, () => this.#flush());
    } else if (!this.#flushesSoon) {
      this.#flushesSoon = true;
      queueMicrotask(() => this.#flush());
    }
  }

  #push(part: string | Uint8Array): void {
    const bytes = typeof part === "string" ? encoder.encode(part) : part;
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
  }

  pause(): void {
    if (this.#isPaused || this.#isDeaf) return;
    this.#isPaused = true;
    this.#connection.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#connection.resume();
    if (this.#reader.restBytes > 0) queueMicrotask(() => this.#read());
  }

  close(code: number | undefined, reason: string): void {
    if (this.#isClosing) return;
    this.#flush();
    this.#write(closeFrame(code, reason));
    this.#gone();
    // What the client says until it answers is read, and thrown away.
    this.resume();
  }

  end(): void {
    this.close(CLOSE.GOING_AWAY, "The node stops");
  }

  destroy(): void {
    this.#isDeaf = true;
    this.#connection.destroy();
  }

  period(elapsedMs: number): void {
    // Whoever is not listened to cannot be blamed for its silence.
    if (this.#isPaused && !this.#isBlocked) return;
    this.#silentMs += elapsedMs;
    if (this.#silentMs > WEBSOCKET_SILENT_MS || this.#isClosing) this.destroy();
    else if (this.#silentMs >= WEBSOCKET_PING_MS && !this.#isBlocked) this.#write(PING_FRAME);
  }

  onOpen(): void {}

  onData(bytes: Uint8Array): void {
    this.#silentMs = 0;
    if (this.#isDeaf) return;
    this.#reader.push(bytes);
    this.#read();
  }

  onDrain(): void {
    this.#silentMs = 0;
    this.#isBlocked = false;
    if (!this.#isClosing) this.#guard(() => this.#handler.onDrain());
  }

  onClose(): void {
    this.#isDeaf = true;
    this.#gone();
    this.#host.closed(this);
  }

  #read(): void {
    if (this.#isDeaf) return;
    this.#isReading = true;
    try {
      while (!this.#isPaused && !this.#isDeaf) {
        const event = this.#reader.next();
        if (event === undefined) break;
        this.#take(event);
      }
      if (!this.#isClosing) this.#handler.onArrived();
    } catch (error) {
      this.#fail(error);
    }
    this.#isReading = false;
  }

  #take(event: WebSocketEvent): void {
    switch (event.type) {
      case "text":
        if (!this.#isClosing) this.#handler.onMessage(event.text);
        break;
      case "ping":
        // One that does not take its answers needs no more of them.
        if (!this.#isClosing && !this.#isBlocked) this.#write(pongFrame(event.payload));
        break;
      case "close":
        // What was asked before the good-bye is still begun.
        if (!this.#isClosing) this.#handler.onArrived();
        this.close(event.code, "");
        this.#leave();
        break;
      case "pong":
        break;
    }
  }

  /** Runs a call of the handler. What it throws is a bug, and ends this connection only. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (error instanceof WebSocketError) this.close(error.closeCode, error.message);
    else {
      this.#host.onFailure(error);
      this.close(CLOSE.INTERNAL, "The node failed to answer; its log has the reason");
    }
    this.#leave();
  }

  /** Nothing that is still to come matters. */
  #leave(): void {
    this.#isDeaf = true;
    this.#connection.end();
  }

  /** Tells the handler, once. */
  #gone(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#out = [];
    this.#cancelLateFlush?.();
    try {
      this.#handler.onClose();
    } catch (error) {
      this.#host.onFailure(error);
    }
  }

  #flush(): void {
    this.#flushesSoon = false;
    this.#cancelLateFlush?.();
    this.#cancelLateFlush = undefined;
    const parts = this.#out;
    if (parts.length === 0) return;
    this.#out = [];
    this.#outBytes = 0;
    let small: Uint8Array[] = [];
    for (const part of parts) {
      if (part.length > JOIN_BYTES_MAX) {
        if (small.length > 0) this.#write(concat(small));
        this.#write(part);
        small = [];
      } else small.push(part);
    }
    if (small.length > 0) this.#write(concat(small));
  }

  #write(bytes: Uint8Array): void {
    if (!this.#connection.write(bytes)) this.#isBlocked = true;
  }
}
