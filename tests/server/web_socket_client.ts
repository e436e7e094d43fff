/** A client of Hrana over WebSocket that says what a test tells it to, right or wrong. */
import { until } from "./fixture.ts";

/** A message of the server. */
// deno-lint-ignore no-explicit-any
export type Message = any;

/** A cluster may be looking for a leader meanwhile. */
const TIMEOUT_MS = 10_000;

/** Speaks over the WebSocket of the runtime. */
export class HranaClient implements Disposable {
  readonly messages: Message[] = [];
  readonly #socket: WebSocket;
  #closeCode: number | undefined;
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => void this.messages.push(JSON.parse(data as string));
    socket.onclose = ({ code }) => void (this.#closeCode = code);
  }

  /** Connects, and says hello. @param url Of scheme `http:`. */
  static async connect(url: string, protocol: string = "hrana3"): Promise<HranaClient> {
    const client = await HranaClient.connectSilently(url, [protocol]);
    client.say({ type: "hello", jwt: null });
    await until(() => client.messages.length === 1, "the server says hello");
    client.messages.pop();
    return client;
  }

  /** Connects, and says nothing. */
  static async connectSilently(url: string, protocols: string[]): Promise<HranaClient> {
    const socket = new WebSocket(url.replace("http:", "ws:"), protocols);
    const client = new HranaClient(socket);
    await until(() => socket.readyState === WebSocket.OPEN, "the connection is open");
    return client;
  }

  /** The subprotocol that the server chose. */
  get protocol(): string {
    return this.#socket.protocol;
  }

  say(message: unknown): void {
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  sayBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  /** Sends a request. @returns Its id. */
  send(request: object): number {
    const id = ++this.#lastId;
    this.say({ type: "request", request_id: id, request });
    return id;
  }

  /** Sends a request and waits for what comes of it: its response or its error. */
  async ask(request: object): Promise<Message> {
    return await this.answerTo(this.send(request));
  }

  /** Waits for the answer to a request that was sent. */
  async answerTo(id: number): Promise<Message> {
    const find = () => this.messages.find((message) => message.request_id === id);
    const isOver = () => find() !== undefined || this.#closeCode !== undefined;
    await until(isOver, `request ${id} is answered`, TIMEOUT_MS);
    const message = find();
    if (message === undefined) throw new Error(`It was closed with ${this.#closeCode}`);
    return message.response ?? message.error;
  }

  /** Waits for the server to close. @returns The code. */
  async closed(): Promise<number> {
    await until(() => this.#closeCode !== undefined, "the connection is closed", TIMEOUT_MS);
    return this.#closeCode!;
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** The requests that most tests send. */
export const open = (stream_id: number) => ({ type: "open_stream", stream_id });
export const close = (stream_id: number) => ({ type: "close_stream", stream_id });
export const execute = (stream_id: number, sql: string) => {
  return { type: "execute", stream_id, stmt: { sql } };
};
