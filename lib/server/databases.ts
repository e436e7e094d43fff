/** Which databases there are, and that there is one more or one less. */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import { parseJson } from "../wire/json.ts";
import { decodeText } from "./hrana_http.ts";
import type { Proxy } from "./proxy.ts";
import { jsonReply } from "./replies.ts";
import type { Operations } from "./types.ts";

const DONE = jsonReply(200, `{"done":true}`);

/** Answers `GET /cluster/databases` with `{"databases":[{"name":…,"id":…}]}`. */
export async function databasesReply(operations: Operations): Promise<HttpReply> {
  const databases = await operations.databases();
  return jsonReply(200, JSON.stringify({ databases }));
}

/** Answers `POST /cluster/databases` with `{"name":…}`, here or at the leader. */
export function handleCreate(
  request: HttpRequest,
  operations: Operations,
  proxy: Proxy,
): Promise<HttpReply> {
  return runNamed(request, proxy, async (name) => {
    return jsonReply(200, JSON.stringify(await operations.createDatabase(name)));
  });
}

/** Answers `DELETE /cluster/databases` with `{"name":…}`, here or at the leader. */
export function handleDrop(
  request: HttpRequest,
  operations: Operations,
  proxy: Proxy,
): Promise<HttpReply> {
  return runNamed(request, proxy, async (name) => {
    await operations.dropDatabase(name);
    return DONE;
  });
}

/** Runs what a request asks of the database that its body names, here or at the leader. */
async function runNamed(
  request: HttpRequest,
  proxy: Proxy,
  run: (name: string) => Promise<HttpReply>,
): Promise<HttpReply> {
  const body = await request.body();
  const name = nameOf(body);
  return await proxy.run(request, body, () => run(name));
}

function nameOf(body: Uint8Array): string {
  const json = parseJson(decodeText(body), "The body");
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const { name } = (isObject ? json : {}) as Readonly<Record<string, unknown>>;
  if (typeof name === "string") return name;
  throw new DatabaseError("PROTOCOL", "name must be that of a database: missing");
}
