/** Threads: the Web's workers, which Bun and Deno share. */

/** The worker's own side. */
export interface WorkerScope {
  onMessage(callback: (data: unknown) => void): void;
  /** Sends what can be cloned, and hands memory in it over. */
  readonly post: (data: unknown, memory: readonly ArrayBuffer[]) => void;
}

interface GlobalScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, memory: readonly ArrayBuffer[]): void;
}

/** The thread that this code runs in, as a worker. */
export function workerScope(): WorkerScope {
  const scope = globalThis as unknown as GlobalScope;
  return {
    onMessage(callback) {
      scope.onmessage = (event) => callback(event.data);
    },
    post: (data, memory) => scope.postMessage(data, memory),
  };
}

/** A thread, as its owner sees it. */
export interface Thread {
  /** Sends what can be cloned. */
  post(data: unknown): void;
  /** Ends it at once. */
  terminate(): void;
}

/**
 * Where the worker's entry is. In the compiled executable every module has the executable's own
 * address, and the entries that were given to the compiler lie beside it, by their path.
 */
function sqlWorkerUrl(): string {
  const compiled = import.meta.url.includes("/$bunfs/");
  return compiled
    ? new URL("./lib/session/worker.js", import.meta.url).href
    : new URL("../session/worker.ts", import.meta.url).href;
}

/** Starts an SQL worker. */
export function spawnSqlWorker(
  onMessage: (data: unknown) => void,
  onError: (error: Error) => void,
): Thread {
  const worker = new Worker(sqlWorkerUrl(), { type: "module" });
  worker.onmessage = (event: MessageEvent) => onMessage(event.data);
  worker.onerror = (event) => {
    event.preventDefault();
    onError(new Error(`An SQL worker failed: ${event.message}`));
  };
  return {
    post: (data) => worker.postMessage(data),
    terminate: () => worker.terminate(),
  };
}
