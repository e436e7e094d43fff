/** Threads: the Web's workers, which Bun and Deno share. */

/** The worker's own side. */
export interface WorkerScope<In, Out> {
  onMessage(callback: (message: In) => void): void;
  readonly post: (message: Out) => void;
}

interface GlobalScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown): void;
}

/** The thread that this code runs in, as a worker. */
export function workerScope<In, Out>(): WorkerScope<In, Out> {
  const scope = globalThis as unknown as GlobalScope;
  return {
    onMessage(callback) {
      scope.onmessage = (event) => callback(event.data as In);
    },
    post: (message) => scope.postMessage(message),
  };
}

/** A thread, as its owner sees it. */
export interface Thread<In> {
  post(message: In): void;
  /** Ends it at once. */
  terminate(): void;
}

/**
 * Starts an SQL worker. The path is written out here, and only here, since the compiled executable
 * carries the entry under this name.
 */
export function spawnSqlWorker<In, Out>(
  onMessage: (message: Out) => void,
  onError: (error: Error) => void,
): Thread<In> {
  const url = new URL("../session/worker.ts", import.meta.url).href;
  const worker = new Worker(url, { type: "module" });
  worker.onmessage = (event: MessageEvent) => onMessage(event.data as Out);
  worker.onerror = (event) => {
    event.preventDefault();
    onError(new Error(`An SQL worker failed: ${event.message}`));
  };
  return {
    post: (message) => worker.postMessage(message),
    terminate: () => worker.terminate(),
  };
}
