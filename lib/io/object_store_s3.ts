/**
 * Objects in a bucket of S3, or of a server that speaks its protocol. Only requests that every such
 * server knows: put, get, delete, and list (version 2).
 */
import { AwsClient } from "aws4fetch";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { ARCHIVE_CALL_TIMEOUT_MS, BUCKET_ATTEMPTS_MAX, BUCKET_RETRY_MS } from "../base/limits.ts";
import { systemClock } from "./clock.ts";
import { sha256Hex } from "./hash.ts";
import { type ObjectStore, type StoredObject, tooLarge } from "./object_store.ts";

const REGION = "us-east-1";
const ERROR_CHARS_SHOWN = 200;

/** How a bucket is reached. */
export interface S3StoreOptions {
  readonly bucket: string;
  /** What all keys begin with, without `/` at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** URL of the bucket, without `/` at its end. */
  readonly bucketUrl: string;
  readonly client: Pick<AwsClient, "fetch">;
}

interface Answer {
  readonly status: number;
  /** Undefined when it is larger than it may be. */
  readonly body: Uint8Array<ArrayBuffer> | undefined;
}

/** See {@linkcode ObjectStore}. */
export class S3Store implements ObjectStore {
  readonly where: string;
  readonly #bucketUrl: string;
  readonly #prefix: string;
  readonly #client: Pick<AwsClient, "fetch">;

  constructor({ bucket, prefix, bucketUrl, client }: S3StoreOptions) {
    this.where = `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`;
    this.#bucketUrl = bucketUrl;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.#client = client;
  }

  /**
   * A store with the settings that AWS's own programs read: `AWS_ACCESS_KEY_ID`,
   * `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, and `AWS_ENDPOINT_URL_S3` or
   * `AWS_ENDPOINT_URL` for other servers.
   *
   * @throws {DatabaseError} `CONFIG` when one is missing or not valid.
   */
  static fromEnvironment(
    bucket: string,
    prefix: string,
    env: Readonly<Record<string, string | undefined>>,
  ): S3Store {
    const accessKeyId = env["AWS_ACCESS_KEY_ID"] ?? "";
    const secretAccessKey = env["AWS_SECRET_ACCESS_KEY"] ?? "";
    if (accessKeyId === "" || secretAccessKey === "") {
      throw new DatabaseError("CONFIG", `There are no credentials for s3://${bucket}`, {
        hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION; for a server " +
          "other than AWS also AWS_ENDPOINT_URL_S3",
      });
    }
    const region = env["AWS_REGION"] || env["AWS_DEFAULT_REGION"] || REGION;
    const sessionToken = env["AWS_SESSION_TOKEN"] || undefined;
    const client = new AwsClient({
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      service: "s3",
      region,
      retries: 0,
    });
    const endpoint = env["AWS_ENDPOINT_URL_S3"] || env["AWS_ENDPOINT_URL"] || undefined;
    const bucketUrl = endpoint === undefined
      ? `https://${bucket}.s3.${region}.amazonaws.com`
      : `${httpEndpoint(endpoint)}/${bucket}`;
    return new S3Store({ bucket, prefix: prefix.replace(/\/+$/, ""), bucketUrl, client });
  }

  async folders(): Promise<string[]> {
    const names: string[] = [];
    for await (const page of this.#pages({ prefix: this.#prefix, delimiter: "/" })) {
      for (const group of page.matchAll(/<CommonPrefixes>(.*?)<\/CommonPrefixes>/gs)) {
        const key = textOf(group[1]!, "Prefix");
        if (key !== undefined) names.push(key.slice(this.#prefix.length, -1));
      }
    }
    return names.sort();
  }

  async *list(prefix: string, after = ""): AsyncGenerator<StoredObject> {
    const query: Record<string, string> = { prefix: this.#prefix + prefix };
    if (after !== "") query["start-after"] = this.#prefix + after;
    for await (const page of this.#pages(query)) {
      for (const one of page.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
        const key = textOf(one[1]!, "Key");
        const sizeBytes = Number(textOf(one[1]!, "Size"));
        if (key !== undefined) yield { key: key.slice(this.#prefix.length), sizeBytes };
      }
    }
  }

  async get(key: string, bytesMax: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const answer = await this.#call("GET", this.#url(key), {}, bytesMax);
    if (answer.body === undefined) throw tooLarge(this.where, key, bytesMax);
    if (answer.status === 404 && !textOfBody(answer).includes("NoSuchBucket")) return undefined;
    return this.#required(answer);
  }

  async put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // The server holds what it got against the hash.
    const headers = { "x-amz-content-sha256": await sha256Hex(bytes) };
    this.#required(await this.#call("PUT", this.#url(key), { body: bytes, headers }));
  }

  async remove(key: string): Promise<void> {
    const answer = await this.#call("DELETE", this.#url(key));
    if (answer.status !== 404) this.#required(answer);
  }

  /** The pages of a list. */
  async *#pages(query: Readonly<Record<string, string>>): AsyncGenerator<string> {
    for (let token: string | undefined, more = true; more;) {
      const url = new URL(this.#bucketUrl);
      url.searchParams.set("list-type", "2");
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      if (token !== undefined) url.searchParams.set("continuation-token", token);
      const answer = await this.#call("GET", url);
      this.#required(answer);
      const text = textOfBody(answer);
      yield text;
      token = textOf(text, "NextContinuationToken");
      more = textOf(text, "IsTruncated") === "true";
      if (more && token === undefined) {
        throw new DatabaseError("PROTOCOL", `${this.where} sends a list without its end`);
      }
    }
  }

  #url(key: string): URL {
    const path = (this.#prefix + key).split("/").map(encodeURIComponent).join("/");
    return new URL(`${this.#bucketUrl}/${path}`);
  }

  /** Calls the server, again when that may help. */
  async #call(method: string, url: URL, init: RequestInit = {}, bytesMax = Infinity) {
    for (let attempt = 1;; attempt++) {
      try {
        const answer = await this.#callOnce(method, url, init, bytesMax);
        if (!passes(answer.status)) return answer;
        throw this.#refused(answer);
      } catch (error) {
        const isPassing = error instanceof DatabaseError && error.code === "CONNECTION_LOST";
        if (!isPassing || attempt >= BUCKET_ATTEMPTS_MAX) throw error;
      }
      const pauseMs = BUCKET_RETRY_MS * 2 ** (attempt - 1);
      await new Promise<void>((resolve) => void systemClock.after(pauseMs, resolve));
    }
  }

  async #callOnce(
    method: string,
    url: URL,
    init: RequestInit,
    bytesMax: number,
  ): Promise<Answer> {
    try {
      const signal = AbortSignal.timeout(ARCHIVE_CALL_TIMEOUT_MS);
      const response = await this.#client.fetch(url, { ...init, method, signal });
      const { status } = response;
      if (response.ok && Number(response.headers.get("content-length") ?? 0) > bytesMax) {
        await response.body?.cancel();
        return { status, body: undefined };
      }
      return { status, body: await response.bytes() };
    } catch (error) {
      throw new DatabaseError("CONNECTION_LOST", `${this.where}: ${messageOf(error)}`, {
        outcome: "rejected",
        cause: error,
      });
    }
  }

  #required(answer: Answer): Uint8Array<ArrayBuffer> {
    const { status, body } = answer;
    if (status >= 200 && status < 300 && body !== undefined) return body;
    throw this.#refused(answer);
  }

  #refused(answer: Answer): DatabaseError {
    const text = textOfBody(answer);
    const code = textOf(text, "Code");
    const reason = code === undefined
      ? text.slice(0, ERROR_CHARS_SHOWN)
      : `${code}: ${textOf(text, "Message") ?? ""}`;
    return new DatabaseError(
      passes(answer.status) ? "CONNECTION_LOST" : "CONFIG",
      `${this.where} answers with status ${answer.status}: ${reason}`,
      { outcome: "rejected" },
    );
  }
}

/** Whether the same call may succeed later. */
function passes(status: number): boolean {
  return status >= 500 || status === 408 || status === 429;
}

function textOfBody({ body }: Answer): string {
  return new TextDecoder().decode(body);
}

/** The text of the first element of this name. */
function textOf(xml: string, name: string): string | undefined {
  const match = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml);
  return match?.[1]?.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, entity?: string) => {
      if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
      return ENTITIES[entity!] ?? whole;
    },
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function httpEndpoint(text: string): string {
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol)) return text.replace(/\/+$/, "");
  throw new DatabaseError("CONFIG", `${text} is no http:// or https:// URL of an S3 server`);
}
