/**
 * Objects in a bucket of S3, or of a server that speaks its protocol. Only requests that every such
 * server knows: put, get, delete, and list (version 2).
 */
import { AwsClient } from "aws4fetch";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { ARCHIVE_CALL_TIMEOUT_MS } from "../base/limits.ts";
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
    const response = await this.#fetch("GET", this.#url(key));
    if (response.status === 404) {
      const text = await this.#text(response);
      if (text.includes("NoSuchBucket")) throw this.#refused(response, text);
      return undefined;
    }
    if (!response.ok) throw this.#refused(response, await this.#text(response));
    if (Number(response.headers.get("content-length") ?? 0) > bytesMax) {
      await response.body?.cancel();
      throw tooLarge(this.where, key, bytesMax);
    }
    return await this.#read(() => response.bytes());
  }

  async put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // The server holds what it got against the hash.
    const headers = { "x-amz-content-sha256": await sha256Hex(bytes) };
    const response = await this.#fetch("PUT", this.#url(key), { body: bytes, headers });
    const text = await this.#text(response);
    if (!response.ok) throw this.#refused(response, text);
  }

  async remove(key: string): Promise<void> {
    const response = await this.#fetch("DELETE", this.#url(key));
    const text = await this.#text(response);
    if (!response.ok && response.status !== 404) throw this.#refused(response, text);
  }

  /** The pages of a list. */
  async *#pages(query: Readonly<Record<string, string>>): AsyncGenerator<string> {
    for (let token: string | undefined, more = true; more;) {
      const url = new URL(this.#bucketUrl);
      url.searchParams.set("list-type", "2");
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      if (token !== undefined) url.searchParams.set("continuation-token", token);
      const response = await this.#fetch("GET", url);
      const text = await this.#text(response);
      if (!response.ok) throw this.#refused(response, text);
      yield text;
      token = textOf(text, "NextContinuationToken");
      more = textOf(text, "IsTruncated") === "true";
      if (more && token === undefined) throw this.#refused(response, "a list without its end");
    }
  }

  #url(key: string): URL {
    const path = (this.#prefix + key).split("/").map(encodeURIComponent).join("/");
    return new URL(`${this.#bucketUrl}/${path}`);
  }

  #fetch(method: string, url: URL, init: RequestInit = {}): Promise<Response> {
    const signal = AbortSignal.timeout(ARCHIVE_CALL_TIMEOUT_MS);
    return this.#read(() => this.#client.fetch(url, { ...init, method, signal }));
  }

  #text(response: Response): Promise<string> {
    return this.#read(() => response.text());
  }

  async #read<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw new DatabaseError("CONNECTION_LOST", `${this.where}: ${messageOf(error)}`, {
        outcome: "rejected",
        cause: error,
      });
    }
  }

  #refused({ status }: Response, text: string): DatabaseError {
    const code = textOf(text, "Code");
    const reason = code === undefined
      ? text.slice(0, ERROR_CHARS_SHOWN)
      : `${code}: ${textOf(text, "Message") ?? ""}`;
    const passes = status >= 500 || status === 408 || status === 429;
    return new DatabaseError(
      passes ? "CONNECTION_LOST" : "CONFIG",
      `${this.where} answers with status ${status}: ${reason}`,
      { outcome: "rejected" },
    );
  }
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
