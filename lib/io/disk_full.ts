/** What systems say when there is no space left, for everyone or for this user. */
const CODES = new Set(["ENOSPC", "EDQUOT"]);

/** Whether `error`, or what caused it, is the system's refusal for lack of space. */
export function isDiskFull(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ("code" in at && CODES.has(String(at.code))) return true;
  }
  return false;
}
