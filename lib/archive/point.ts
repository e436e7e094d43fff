/** A point that a user asks for: an entry, a time in milliseconds since 1970, or the end. */
export type Point =
  | { readonly type: "index"; readonly index: number }
  | { readonly type: "time"; readonly timeMs: number }
  | { readonly type: "latest" };

const INDEX = /^\d{1,15}$/;
/** A time without its zone would mean something else on another machine. */
const TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/;

/** The point that a text names: an index, an ISO 8601 time, or `latest`; undefined for others. */
export function parsePoint(text: string): Point | undefined {
  if (text === "latest") return { type: "latest" };
  if (INDEX.test(text)) return { type: "index", index: Number(text) };
  const timeMs = TIME.test(text) ? Date.parse(text.replace(" ", "T")) : NaN;
  return Number.isNaN(timeMs) ? undefined : { type: "time", timeMs };
}

/** A time, as messages show it. */
export function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
