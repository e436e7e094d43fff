import { runDemo } from "../demo/demo.ts";
import { DemoFailure } from "../demo/wait.ts";
import { type Call, EXIT } from "./command.ts";
import type { DEMO_OPTIONS } from "./options.ts";

/** Seeds are below this. */
const SEED_END = 2 ** 32;

/** `dqlite demo`: kills nodes under load for a while, then checks that nothing was lost. */
export async function demo({ settings, program }: Call<typeof DEMO_OPTIONS>): Promise<number> {
  const interrupt = new AbortController();
  program.onStopRequest(() => interrupt.abort());
  try {
    const good = await runDemo({
      seconds: settings.seconds,
      folder: settings.dir,
      seed: settings.seed ?? program.wallMs() % SEED_END,
      write: (text) => program.stdout(text),
      signal: interrupt.signal,
    });
    return good ? EXIT.ok : EXIT.failure;
  } catch (error) {
    if (!(error instanceof DemoFailure)) throw error;
    const interrupted = "Interrupted: no verdict. The nodes are stopped.";
    program.stderr(interrupt.signal.aborted ? `${interrupted}\n` : `Error: ${error.message}\n`);
    return EXIT.failure;
  }
}
