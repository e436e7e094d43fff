/** The terminal: lines that are edited, or lines of a script. Works alike on Bun and Deno. */
import process from "node:process";
import { createInterface, type Interface } from "node:readline";

/** What a user did at a prompt. */
export type LineEvent =
  | { readonly type: "line"; readonly text: string }
  /** Ctrl-C: what was typed is dropped. */
  | { readonly type: "interrupt" }
  /** Ctrl-D on an empty line. */
  | { readonly type: "end" };

/** A prompt whose lines can be edited, with history and completion. */
export interface LineEditor {
  /** Shows `prompt` and waits. One call at a time. */
  read(prompt: string): Promise<LineEvent>;
  /** Resolves at the next Ctrl-C that comes outside of `read`. */
  interrupted(): Promise<void>;
  /** The entries that can be recalled, newest first. */
  history(): string[];
  setHistory(entries: readonly string[]): void;
  close(): void;
}

/** What an editor starts with. */
export interface EditorOptions {
  /** Newest first. */
  readonly history: readonly string[];
  readonly historyMax: number;
  /** The candidates for the end of `line`, and the part of it that they complete. */
  readonly complete: (line: string) => Promise<readonly [string[], string]>;
}

/** Whether both ends of the conversation are people. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** The lines of standard input, as they arrive; the last one may lack its newline. */
export async function* stdinLines(): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of process.stdin) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines.map(withoutReturn);
  }
  rest += decoder.decode();
  if (rest !== "") yield withoutReturn(rest);
}

/** Opens an editor on the terminal of this process. */
export function openEditor(options: EditorOptions): LineEditor {
  return new ReadlineEditor(options);
}

/** The interface of readline, with the parts of it that its types leave out. */
type Readline = Interface & { history?: string[]; line: string; cursor: number };

class ReadlineEditor implements LineEditor {
  readonly #lines: Readline;
  /** Lines that came before they were asked for, such as those of a paste. */
  readonly #early: LineEvent[] = [];
  #waiting: ((event: LineEvent) => void) | undefined;
  #interrupt: (() => void) | undefined;
  #ended = false;

  constructor(options: EditorOptions) {
    this.#lines = createInterface(
      {
        input: process.stdin,
        output: process.stdout,
        terminal: true,
        historySize: options.historyMax,
        history: [...options.history],
        completer: (
          line: string,
          done: (error: Error | null, result: [string[], string]) => void,
        ) => {
          options.complete(line).then(
            ([candidates, part]) => done(null, [candidates, part]),
            () => done(null, [[], line]),
          );
        },
      } as Parameters<typeof createInterface>[0],
    ) as Readline;
    this.#lines.on("line", (text: string) => this.#tell({ type: "line", text }));
    this.#lines.on("SIGINT", () => this.#onInterrupt());
    this.#lines.on("close", () => {
      this.#ended = true;
      this.#tell({ type: "end" });
    });
  }

  read(prompt: string): Promise<LineEvent> {
    const early = this.#early.shift();
    if (early !== undefined) return Promise.resolve(early);
    if (this.#ended) return Promise.resolve({ type: "end" });
    this.#lines.setPrompt(prompt);
    this.#lines.prompt();
    return new Promise((resolve) => this.#waiting = resolve);
  }

  interrupted(): Promise<void> {
    return new Promise((resolve) => this.#interrupt = resolve);
  }

  history(): string[] {
    return [...(this.#lines.history ?? [])];
  }

  setHistory(entries: readonly string[]): void {
    // In place: the interface keeps its own reference to the list.
    this.#lines.history?.splice(0, Infinity, ...entries);
  }

  close(): void {
    this.#lines.close();
  }

  #tell(event: LineEvent): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) waiting(event);
    else this.#early.push(event);
  }

  #onInterrupt(): void {
    process.stdout.write("^C\n");
    this.#lines.line = "";
    this.#lines.cursor = 0;
    this.#early.length = 0;
    if (this.#waiting !== undefined) this.#tell({ type: "interrupt" });
    else this.#interrupt?.();
  }
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
