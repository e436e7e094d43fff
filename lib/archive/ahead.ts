import { ARCHIVE_PREFETCH } from "../base/limits.ts";

/**
 * Reads what a list names, in its order, a few at once, so that the way to the store is travelled
 * while earlier ones are worked on.
 *
 * @throws {Error} of the list or of `read`, once what came before was handed out.
 */
export async function* ahead<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  read: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const reading: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      const result = read(item);
      // It is looked at when its turn comes.
      result.catch(() => {});
      reading.push(result);
      if (reading.length >= ARCHIVE_PREFETCH) yield await reading.shift()!;
    }
    while (reading.length > 0) yield await reading.shift()!;
  } finally {
    await Promise.allSettled(reading);
  }
}
