/** How much of a file is done: one line on the terminal that refreshes itself. */
import type { Clock } from "../io/clock.ts";

const INTERVAL_MS = 100;
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;

/** Where progress is shown, if it is. */
export interface ProgressOptions {
  readonly clock: Clock;
  readonly isTerminal: boolean;
  readonly write: (text: string) => void;
}

/** See the file comment; says nothing when there is no terminal. */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #startMs: number;
  #shownMs = -Infinity;
  #isOpen = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#startMs = options.clock.nowMs();
  }

  /** @param verb What is being done, such as `backup`. */
  show(verb: string, doneBytes: number, wholeBytes: number): void {
    this.#line(verb, doneBytes, wholeBytes, (elapsedMs) => {
      const rate = doneBytes / elapsedMs * 1_000;
      return `${sizeText(doneBytes)} of ${sizeText(wholeBytes)}  ${sizeText(rate)}/s`;
    });
  }

  /** As {@linkcode show}, of what is counted. */
  showCount(verb: string, done: number, whole: number): void {
    this.#line(verb, done, whole, () => `${done} of ${whole}`);
  }

  #line(verb: string, done: number, whole: number, text: (elapsedMs: number) => string): void {
    const { clock, isTerminal, write } = this.#options;
    const nowMs = clock.nowMs();
    if (!isTerminal || (nowMs - this.#shownMs < INTERVAL_MS && done < whole)) return;
    this.#shownMs = nowMs;
    const percent = whole === 0 ? 100 : Math.floor(100 * done / whole);
    const rest = text(Math.max(1, nowMs - this.#startMs));
    write(`\r${verb}  ${String(percent).padStart(3)} %  ${rest}\x1b[K`);
    this.#isOpen = true;
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isOpen) this.#options.write("\r\x1b[K");
    this.#isOpen = false;
  }
}

/** A size for people, such as `1.5 MiB`. */
export function sizeText(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  for (; value >= 1_024 && unit < UNITS.length - 1; unit++) value /= 1_024;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
