/** Statements of earlier sessions, kept in a file; pure but for the two callbacks. */

/** Entries that are kept. */
export const HISTORY_MAX = 1_000;

/** Where the history is kept. */
export interface HistoryFile {
  /** The content; undefined when there is none. */
  read(): string | undefined;
  /** @throws {Error} when it cannot be written. */
  write(text: string): void;
}

/** Entries, newest first. Nothing is lost when the file cannot be read or written but the past. */
export class History {
  readonly #file: HistoryFile;
  #entries: string[];

  constructor(file: HistoryFile) {
    this.#file = file;
    this.#entries = parse(file.read());
  }

  get entries(): readonly string[] {
    return this.#entries;
  }

  /** Adds an entry in front, unless it is there already. */
  add(entry: string): void {
    if (entry === "" || entry === this.#entries[0]) return;
    // Another shell may have added to the file meanwhile.
    const known = parse(this.#file.read());
    const base = known.length === 0 ? this.#entries : known;
    this.#entries = [entry, ...base].slice(0, HISTORY_MAX);
    try {
      this.#file.write(this.#entries.toReversed().map((text) => `${escaped(text)}\n`).join(""));
    } catch {
      // A history that cannot be saved is no reason to stop working.
    }
  }
}

function parse(text: string | undefined): string[] {
  const lines = (text ?? "").split("\n").filter((line) => line !== "");
  return lines.toReversed().slice(0, HISTORY_MAX).map(unescaped);
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => char === "n" ? "\n" : char);
}
