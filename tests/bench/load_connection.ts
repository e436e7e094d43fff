/** One client's keep-alive connection: a request at a time, patched in place and sent. */
import { RequestTemplate } from "./request_template.ts";
import type { RequestPlan } from "./request_template.ts";
import { type OnResponse, ResponseParser } from "./response_parser.ts";
import { openingOf, SocketParser } from "./socket_frames.ts";

/** What a connection tells. */
export interface ConnectionEvents {
  /** An answer; `good` when it is what the plan asks for, else `sample` shows it. */
  onAnswer(good: boolean, sample: () => string): void;
  /** The server closed the connection. */
  onClose(): void;
}

/** A connected client. */
export class LoadConnection {
  readonly template: RequestTemplate;
  /** When the request that is under way was due. */
  dueMs = 0;
  readonly #write: (bytes: Buffer) => number;
  readonly #end: () => void;
  #unsent: Buffer | undefined;

  private constructor(
    template: RequestTemplate,
    socket: { write(bytes: Buffer): number; end(): unknown },
  ) {
    this.template = template;
    this.#write = (bytes) => socket.write(bytes);
    this.#end = () => void socket.end();
  }

  static async open(
    at: { readonly host: string; readonly port: number },
    plan: RequestPlan,
    events: ConnectionEvents,
  ): Promise<LoadConnection> {
    const template = new RequestTemplate(plan, `${at.host}:${at.port}`);
    const must = Buffer.from(plan.must);
    const mustNot = Buffer.from(plan.mustNot);
    const onResponse: OnResponse = (status, body) => {
      const good = status === 200 && body.length >= plan.bodyBytesMin && body.includes(must) &&
        !body.includes(mustNot) && (!plan.echo || body.includes(template.digits(0)));
      events.onAnswer(good, () => `${status} ${body.toString("latin1", 0, 300)}`);
    };
    const parser = plan.messages === undefined
      ? new ResponseParser(onResponse)
      : new SocketParser(plan.messages.length, onResponse);
    const socket = await Bun.connect({
      hostname: at.host,
      port: at.port,
      socket: {
        data: (_, chunk) => parser.push(chunk),
        drain: () => connection.flush(),
        close: () => events.onClose(),
        error: (_, error) => {
          throw error;
        },
      },
    });
    socket.setNoDelay(true);
    if (plan.messages !== undefined) socket.write(openingOf(plan.path, `${at.host}:${at.port}`));
    const connection = new LoadConnection(template, socket);
    return connection;
  }

  /** Sends the request as it stands in the template. */
  send(dueMs: number): void {
    this.dueMs = dueMs;
    this.#unsent = this.template.bytes;
    this.flush();
  }

  /** Sends what the socket did not take before. */
  flush(): void {
    if (this.#unsent === undefined) return;
    const written = this.#write(this.#unsent);
    this.#unsent = written < this.#unsent.length ? this.#unsent.subarray(written) : undefined;
  }

  end(): void {
    this.#end();
  }
}
