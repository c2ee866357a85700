/** What the task comes to; where it has not settled after so many ms, what `late` gives or throws. */
export async function inTime<Result>(
  task: Result | Promise<Result>,
  ms: number,
  late: () => Result,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    return await Promise.race([task, over.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}
