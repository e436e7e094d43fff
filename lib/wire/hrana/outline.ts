/**
 * What a long pipeline most likely is, told by its text alone, so that only the thread that runs it
 * needs to decode it.
 */

/** A shorter text is decoded about as fast. */
const OUTLINE_CHARS_MIN = 4 * 1024;
/** The end of a text that is looked at. */
const END_CHARS = 64;

/** A pipeline that goes on with no stream, as far as its beginning shows. */
const BEGINNING = /^\s*\{\s*(?:"baton"\s*:\s*null\s*,\s*)?"requests"\s*:\s*\[/;
/** A pipeline that closes its stream; what comes before the end of a text may be another member. */
const END = /\{\s*"type"\s*:\s*"close"\s*\}\s*\]\s*\}\s*$/;
/** What would name a stream; inside of a string its quotes are escaped. */
const BATON = '"baton"';
/** SQL that begins with a word of another kind than those that read. */
const WRITE = /"sql"\s*:\s*"(?!(?:\s|\\[nrt])*(?:select|values|explain)\b)/i;

/**
 * Whether a text looks like a pipeline that opens a stream and closes it, and long enough for its
 * decoding to be spared. It may be mistaken: whoever decodes it must look again.
 */
export function looksLikeLongOneShot(text: string): boolean {
  if (text.length < OUTLINE_CHARS_MIN || !END.test(text.slice(-END_CHARS))) return false;
  const beginning = BEGINNING.exec(text);
  return beginning !== null && !text.includes(BATON, beginning[0].length);
}

/** Whether some statement of a pipeline looks like a write; a text in quotes may pass for one. */
export function looksLikeWriteIn(text: string): boolean {
  return WRITE.test(text);
}
