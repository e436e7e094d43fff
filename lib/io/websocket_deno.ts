/**
 * The WebSocket of Deno. It cannot be held back: messages that arrive meanwhile are kept, up to a
 * bound, and whether the client takes what is sent shows only when it is looked at.
 */
import { Buffer } from "node:buffer";
import {
  WEBSOCKET_AHEAD_BYTES_MAX,
  WEBSOCKET_MESSAGE_BYTES_MAX,
  WEBSOCKET_SILENT_MS,
} from "../base/limits.ts";
import { CLOSE } from "../wire/websocket.ts";
import { systemClock } from "./clock.ts";
import type {
  WebSocketConnection,
  WebSocketHandler,
  WebSocketMessage,
  WebSocketUpgrade,
} from "./websocket.ts";

/** The part of Deno that is used here. */
interface DenoRuntime {
  upgradeWebSocket(
    request: Request,
    options: { readonly protocol?: string; readonly idleTimeout: number },
  ): { readonly socket: WebSocket; readonly response: Response };
}

/** What may wait to be taken before a client counts as slow. */
const FLOWING_BYTES_MAX = 1024 * 1024;
const DRAIN_POLL_MS = 20;
const MS_PER_SECOND = 1_000;
const REASON_CHARS_MAX = 40;
const decoder = new TextDecoder();

/** What a WebSocket asks of its server. */
export interface DenoWebSocketHost {
  /** All that are open, so that they can be cut. */
  readonly sockets: Set<DenoWebSocket>;
  onFailure(error: unknown): void;
}

/** Makes a WebSocket of a request. @returns The response that does so. */
export function upgradeDeno(
  request: Request,
  upgrade: WebSocketUpgrade,
  host: DenoWebSocketHost,
): Response {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoRuntime };
  const { socket, response } = Deno.upgradeWebSocket(request, {
    ...upgrade.protocol !== undefined && { protocol: upgrade.protocol },
    // It pings in between.
    idleTimeout: WEBSOCKET_SILENT_MS / MS_PER_SECOND,
  });
  const connection = new DenoWebSocket(socket, host);
  socket.onopen = () => connection.open(upgrade);
  return response;
}

/** Parts are cut between characters. */
function textOf(part: string | Uint8Array): string {
  return typeof part === "string" ? part : decoder.decode(part);
}

/** See the file comment. */
export class DenoWebSocket implements WebSocketConnection {
  readonly #socket: WebSocket;
  readonly #host: DenoWebSocketHost;
  #handler: WebSocketHandler | undefined;
  /** Messages that arrived while they were held back. */
  #held: string[] = [];
  #heldBytes = 0;
  #isPaused = false;
  #isGone = false;
  #cancelPoll: (() => void) | undefined;
  /** Set until it is told that messages have arrived. */
  #cancelArrived: (() => void) | undefined;

  constructor(socket: WebSocket, host: DenoWebSocketHost) {
    this.#socket = socket;
    this.#host = host;
    host.sockets.add(this);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => {
      // What was asked before the good-bye is still begun.
      if (this.#cancelArrived !== undefined) this.#arrived();
      this.#gone();
    };
    // A close follows.
    socket.onerror = () => {};
  }

  open(upgrade: WebSocketUpgrade): void {
    this.#guard(() => this.#handler = upgrade.open(this));
  }

  get isFlowing(): boolean {
    return this.#cancelPoll === undefined;
  }

  send(message: WebSocketMessage): void {
    if (this.#isGone || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(typeof message === "string" ? message : message.map(textOf).join(""));
    if (this.#socket.bufferedAmount > FLOWING_BYTES_MAX) this.#poll();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#held.length > 0) queueMicrotask(() => this.#release());
  }

  close(code: number, reason: string): void {
    if (this.#isGone) return;
    // A reason may have 123 bytes.
    this.#socket.close(code, reason.slice(0, REASON_CHARS_MAX));
    this.#gone();
  }

  /** The server gives it up. */
  cut(): void {
    this.close(CLOSE.GOING_AWAY, "The node stops");
  }

  #receive(data: unknown): void {
    if (this.#isGone) return;
    if (typeof data !== "string") {
      return this.close(CLOSE.UNSUPPORTED, "Only text messages are understood");
    }
    const sizeBytes = Buffer.byteLength(data);
    if (sizeBytes > WEBSOCKET_MESSAGE_BYTES_MAX) {
      return this.close(CLOSE.TOO_BIG, `A message may have ${WEBSOCKET_MESSAGE_BYTES_MAX} bytes`);
    }
    this.#held.push(data);
    this.#heldBytes += sizeBytes;
    this.#release();
    if (this.#heldBytes > WEBSOCKET_AHEAD_BYTES_MAX) {
      this.close(CLOSE.POLICY, "Too much was sent ahead");
    }
  }

  /** Hands over what was held back. */
  #release(): void {
    let count = 0;
    while (count < this.#held.length && !this.#isPaused && !this.#isGone) {
      const text = this.#held[count++]!;
      this.#heldBytes -= Buffer.byteLength(text);
      this.#guard(() => this.#handler!.onMessage(text));
    }
    this.#held = this.#held.slice(count);
    // Each message is an event of its own, also of those that arrived together.
    this.#cancelArrived ??= systemClock.after(0, () => this.#arrived());
  }

  #arrived(): void {
    this.#cancelArrived = undefined;
    if (!this.#isGone) this.#guard(() => this.#handler!.onArrived());
  }

  /** Looks whether the client has taken what was sent; there is no event that says so. */
  #poll(): void {
    this.#cancelPoll ??= systemClock.after(DRAIN_POLL_MS, () => {
      this.#cancelPoll = undefined;
      if (this.#isGone) return;
      if (this.#socket.bufferedAmount > FLOWING_BYTES_MAX) this.#poll();
      else this.#guard(() => this.#handler!.onDrain());
    });
  }

  /** Runs a call of the handler. What it throws is a bug, and ends this connection only. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#host.onFailure(error);
      this.close(CLOSE.INTERNAL, "The node failed to answer; its log has the reason");
    }
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#host.sockets.delete(this);
    this.#held = [];
    this.#cancelPoll?.();
    this.#cancelArrived?.();
    try {
      this.#handler?.onClose();
    } catch (error) {
      this.#host.onFailure(error);
    }
  }
}
