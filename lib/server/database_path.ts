/** Which database a request is about: by its path, or by a header as libSQL's servers know it. */
import type { HttpRequest } from "../io/http.ts";
import { requireDatabaseName } from "../wire/database_name.ts";

/** Names the database, where the path does not. */
export const NAMESPACE_HEADER = "x-namespace";

/** `/NAME/v2/pipeline`, and the forms of other servers: `/db/NAME/…`, `/dev/NAME/…`. */
const DATABASE_PATH = /^\/(?:(?:db|dev)\/)?([^/]+)(\/v[23](?:\/.*)?)$/;

/** The address of a WebSocket of a database. */
const SOCKET_PATH = /^\/(?:(?:db|dev)\/)?([^/]+)\/?$/;

/** A path without the name of the database that it began with. */
export interface DatabasePath {
  readonly database: string;
  readonly path: string;
}

/** Splits the path of a request; undefined when it names no database. */
export function splitDatabasePath(path: string): DatabasePath | undefined {
  const match = DATABASE_PATH.exec(path);
  return match === null ? undefined : { database: match[1]!, path: match[2]! };
}

/**
 * The database that a request for a WebSocket names; undefined for the first one.
 *
 * @throws {DatabaseError} `DATABASE_NAME` when none can have that name.
 */
export function socketDatabaseOf(request: HttpRequest): string | undefined {
  const name = SOCKET_PATH.exec(request.path)?.[1] ?? request.header(NAMESPACE_HEADER);
  return name === undefined ? undefined : requireDatabaseName(name);
}

/** Whether a WebSocket may be asked for there: `/NAME`, `/db/NAME`, `/dev/NAME`. */
export function isSocketPath(path: string): boolean {
  return SOCKET_PATH.test(path);
}

/** The database that a query names, by `db=NAME`; undefined for the first one. */
export function databaseInQuery(query: string): string | undefined {
  const given = query.split("&").find((part) => part.startsWith("db="));
  return given?.slice("db=".length);
}

/** The database that a request names; undefined for the first one. */
export function databaseOf(request: HttpRequest): string | undefined {
  const { path } = request;
  const named = path.startsWith("/v") ? undefined : splitDatabasePath(path)?.database;
  return named ?? request.header(NAMESPACE_HEADER);
}
