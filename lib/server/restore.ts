/** A file that is to replace a database, in parts: begun, sent, and asked to take effect. */
import { DatabaseError } from "../base/errors.ts";
import { sha256Hex } from "../io/hash.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import { requireDatabaseName } from "../wire/database_name.ts";
import { parseJson } from "../wire/json.ts";
import { decodeText } from "./hrana_http.ts";
import type { Proxy } from "./proxy.ts";
import { jsonReply } from "./replies.ts";
import type { Operations } from "./types.ts";

/** The steps of a restore, each a path below `/cluster/restore`. */
export const RESTORE_STEPS = ["begin", "part", "commit", "abort"] as const;

const LINE_FEED = 10;
/** The line before the bytes of a part. */
const LINE_BYTES_MAX = 1_024;
const PAGES_MAX = 0xffff_fffe;
const DONE = jsonReply(200, `{"done":true}`);

type Fields = Readonly<Record<string, unknown>>;

/**
 * Answers `POST /cluster/restore/…`, here or at the leader:
 *
 * - `begin` with `{"database":"main","pages":…,"pageSizeBytes":…,"force":false}`, answered by
 *   `{"id":…}`
 * - `part` with `{"id":…,"offset":…,"sha256":…}`, a newline, and the bytes of the part
 * - `commit` with `{"id":…}`, answered by `{"done":true,"index":…}`; to be asked again while it is
 *   not done
 * - `abort` with `{"id":…}`
 *
 * @throws {DatabaseError} why it was refused.
 */
export async function handleRestore(
  step: (typeof RESTORE_STEPS)[number],
  request: HttpRequest,
  operations: Operations,
  proxy: Proxy,
): Promise<HttpReply> {
  const body = await request.body();
  const { fields, bytes } = step === "part"
    ? splitPart(body)
    : { fields: decode(body), bytes: body };
  return await proxy.run(request, body, async () => {
    const restores = operations.restores();
    switch (step) {
      case "begin":
        return jsonReply(200, JSON.stringify({ id: restores.begin(requestOf(fields)) }));
      case "part":
        await requireWhole(fields, bytes);
        restores.part(idOf(fields), numberOf(fields, "offset", 0, Number.MAX_SAFE_INTEGER), bytes);
        return DONE;
      case "commit":
        return jsonReply(200, JSON.stringify(await restores.commit(idOf(fields))));
      case "abort":
        restores.abort(idOf(fields));
        return DONE;
    }
  });
}

function splitPart(body: Uint8Array): { fields: Fields; bytes: Uint8Array } {
  const end = body.subarray(0, LINE_BYTES_MAX).indexOf(LINE_FEED);
  if (end < 0) throw new DatabaseError("PROTOCOL", "A part begins with a line of JSON: none found");
  return { fields: decode(body.subarray(0, end)), bytes: body.subarray(end + 1) };
}

function decode(body: Uint8Array): Fields {
  const json = parseJson(decodeText(body), "The body");
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new DatabaseError("PROTOCOL", "The body must be an object");
  }
  return json as Fields;
}

function requestOf(fields: Fields) {
  const pageSizeBytes = numberOf(fields, "pageSizeBytes", 512, 65_536);
  if ((pageSizeBytes & (pageSizeBytes - 1)) !== 0) {
    const rule = `pageSizeBytes must be a power of two; it is ${pageSizeBytes}`;
    throw new DatabaseError("PROTOCOL", rule);
  }
  const { database } = fields;
  return {
    database: typeof database === "string" ? requireDatabaseName(database) : undefined,
    pages: numberOf(fields, "pages", 1, PAGES_MAX),
    pageSizeBytes,
    force: fields["force"] === true,
  };
}

function idOf({ id }: Fields): string {
  if (typeof id === "string") return id;
  throw new DatabaseError("PROTOCOL", "id must be that of a restore: missing");
}

function numberOf(fields: Fields, name: string, lowest: number, highest: number): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    if (value >= lowest && value <= highest) return value;
  }
  const shown = String(JSON.stringify(value)).slice(0, 60);
  throw new DatabaseError(
    "PROTOCOL",
    `${name} must be a whole number from ${lowest} to ${highest}; it is ${shown}`,
  );
}

async function requireWhole({ sha256 }: Fields, bytes: Uint8Array): Promise<void> {
  if (await sha256Hex(bytes as Uint8Array<ArrayBuffer>) === sha256) return;
  throw new DatabaseError("PROTOCOL", "The part was changed on its way: its sha256 is another one");
}
