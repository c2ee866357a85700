/**
 * Calls `task` with a signal of the first Ctrl-C; a second one ends the process, as the first does
 * where nothing of this is underway.
 */
export async function interruptible<Result>(
  task: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  process.once('SIGINT', interrupt);
  try {
    return await task(interruption.signal);
  } finally {
    process.off('SIGINT', interrupt);
  }
}
