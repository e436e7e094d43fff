/** WebSockets, as whoever serves them sees them. */

/** A text message: text, or parts of text and of bytes in UTF-8 that follow each other. */
export type WebSocketMessage = string | readonly (string | Uint8Array<ArrayBuffer>)[];

/** An open connection. After it has closed, nothing that is called here happens. */
export interface WebSocketConnection {
  /** Whether the client takes what is sent; after false there will be an `onDrain`. */
  readonly isFlowing: boolean;
  send(message: WebSocketMessage): void;
  /** Holds back the messages that follow, until `resume`. */
  pause(): void;
  resume(): void;
  /** Says good-bye: nothing is received any more. @param reason Shown to people. */
  close(code: number, reason: string): void;
}

/** What happens on a connection. */
export interface WebSocketHandler {
  onMessage(text: string): void;
  /** All messages that have arrived together were handed over. */
  onArrived(): void;
  /** The client took what was sent. */
  onDrain(): void;
  /** The connection is gone, or going. Called once, and last. */
  onClose(): void;
}

/** What a reply holds that turns a request into a WebSocket. */
export interface WebSocketUpgrade {
  /** The `Sec-WebSocket-Key` of the request. */
  readonly key: string;
  /** The subprotocol that was chosen; undefined when the client named none. */
  readonly protocol: string | undefined;
  /** Called once, when the connection is open. */
  open(connection: WebSocketConnection): WebSocketHandler;
}
