/** A server that speaks S3, in a process of its own; it keeps its objects in memory. */
import { commandOf } from "../io/runtimes.ts";

/** See the file comment. */
export class S3Server {
  readonly endpoint: string;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;

  private constructor(child: Bun.Subprocess<"ignore", "pipe", "inherit">, port: number) {
    this.#child = child;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  /**
   * Starts a server with two empty buckets, `archive` and `other`.
   *
   * @param port A port that is free; any by default.
   */
  static async start(port = 0): Promise<S3Server> {
    const command = [...commandOf("bun", "tests/archive/s3_server_main.ts"), String(port)];
    const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    const { value } = await child.stdout.getReader().read();
    const bound = Number(new TextDecoder().decode(value).trim());
    if (!(bound > 0)) throw new Error("The S3 server did not start");
    return new S3Server(child, bound);
  }

  /** Settings that lead to it. */
  get env(): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_ENDPOINT_URL_S3: this.endpoint,
    };
  }

  get port(): number {
    return Number(new URL(this.endpoint).port);
  }

  /** Ends it at once, with all that it holds. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
