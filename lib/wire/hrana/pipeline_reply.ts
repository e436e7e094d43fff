/** Takes the body of a reply to a pipeline apart, which another node wrote. */
import { elementsOf, membersOf } from "../json_scan.ts";
import type { Json } from "./types.ts";

/** What it says. */
export interface PipelineReply {
  readonly baton: string | undefined;
  /** Where the stream goes on; undefined for where the pipeline was sent. */
  readonly baseUrl: string | undefined;
  /** The JSON of each result, which shares the memory of the body. */
  readonly results: readonly Json[];
}

const decoder = new TextDecoder();

/** @throws {DatabaseError} PROTOCOL when it is no such body. */
export function splitPipelineReply(body: Uint8Array<ArrayBuffer>): PipelineReply {
  const members = membersOf(body, 0);
  return {
    baton: textOf(members.get("baton")),
    baseUrl: textOf(members.get("base_url")),
    results: elementsOf(members.get("results") ?? body, 0).map((result) => [result]),
  };
}

function textOf(json: Uint8Array | undefined): string | undefined {
  const value: unknown = json === undefined ? undefined : JSON.parse(decoder.decode(json));
  return typeof value === "string" ? value : undefined;
}
