/**
 * Hrana over HTTP: pipelines of versions 2 and 3, which are the same in JSON. The sources are the
 * specifications in `docs/` of the libSQL repository.
 */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import type { PipelineRequest, PipelineResponse, Sessions } from "../session/types.ts";
import { decodePipeline } from "../wire/hrana/decode.ts";
import { encodePipeline, jsonBytes } from "../wire/hrana/encode.ts";
import { looksLikeLongOneShot } from "../wire/hrana/outline.ts";
import type { Json, PipelineBody, StreamRequest } from "../wire/hrana/types.ts";
import { databaseOf } from "./database_path.ts";
import type { Proxy } from "./proxy.ts";
import { jsonReply } from "./replies.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Answers `POST /v2/pipeline` and `POST /v3/pipeline`, of any database, here or at the leader.
 *
 * @throws {DatabaseError} when the pipeline was refused as a whole.
 */
export function handlePipeline(
  request: HttpRequest,
  sessions: Sessions,
  proxy: Proxy,
): Promise<HttpReply> {
  const body = request.body();
  // Most bodies are there: what need not wait is not made to wait for a promise.
  if (!(body instanceof Promise)) return runPipeline(request, body, sessions, proxy);
  return body.then((bytes) => runPipeline(request, bytes, sessions, proxy));
}

function runPipeline(
  request: HttpRequest,
  bytes: Uint8Array,
  sessions: Sessions,
  proxy: Proxy,
): Promise<HttpReply> {
  const text = decodeText(bytes);
  const database = databaseOf(request);
  const pipeline = looksLikeLongOneShot(text)
    ? new LongPipeline(text, database)
    : { ...decodePipeline(text), text, database, wantsBody: true };
  return proxy.run(request, bytes, () => sessions.pipeline(pipeline).then(replyTo));
}

function replyTo({ baton, results, body }: PipelineResponse): HttpReply {
  return jsonReply(200, body ?? bodyOf(encodePipeline(baton, undefined, results)));
}

/** A pipeline that is decoded when somebody asks what is in it. */
class LongPipeline implements PipelineRequest {
  readonly text: string;
  readonly database: string | undefined;
  readonly isLong = true;
  readonly wantsBody = true;
  #body: PipelineBody | undefined;

  constructor(text: string, database: string | undefined) {
    this.text = text;
    this.database = database;
  }

  get baton(): string | undefined {
    return this.#decoded().baton;
  }

  get requests(): readonly StreamRequest[] {
    return this.#decoded().requests;
  }

  #decoded(): PipelineBody {
    return this.#body ??= decodePipeline(this.text);
  }
}

/** Text stays text: it is cheaper to join with the head of the reply. */
function bodyOf(json: Json): string | Uint8Array<ArrayBuffer> {
  return typeof json === "string" ? json : jsonBytes(json);
}

/** @throws {DatabaseError} PROTOCOL when `bytes` are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new DatabaseError("PROTOCOL", "The body is not UTF-8", { cause: error });
  }
}
