/**
 * Hrana over HTTP: pipelines of versions 2 and 3, which are the same in JSON. The sources are the
 * specifications in `docs/` of the libSQL repository.
 */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import type { Sessions } from "../session/types.ts";
import { decodePipeline } from "../wire/hrana/decode.ts";
import { encodePipeline } from "../wire/hrana/encode.ts";
import type { Proxy } from "./proxy.ts";
import { jsonReply } from "./replies.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Answers `POST /v2/pipeline` and `POST /v3/pipeline`, here or at the leader.
 *
 * @throws {DatabaseError} when the pipeline was refused as a whole.
 */
export async function handlePipeline(
  request: HttpRequest,
  sessions: Sessions,
  proxy: Proxy,
): Promise<HttpReply> {
  const bytes = await request.body();
  const text = decodeText(bytes);
  const pipeline = { ...decodePipeline(text), text };
  const run = async () => {
    const { baton, results } = await sessions.pipeline(pipeline);
    return jsonReply(200, encodePipeline(baton, undefined, results));
  };
  return await proxy.run(request, bytes, run);
}

/** @throws {DatabaseError} PROTOCOL when `bytes` are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new DatabaseError("PROTOCOL", "The body is not UTF-8", { cause: error });
  }
}
