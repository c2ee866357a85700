/** Many can wait for one thing to happen, each for a time. */
export class Latch {
  private readonly waiting = new Set<() => void>();

  /** Resolves once it is opened, or the time is up. */
  async opened(timeoutMs: number): Promise<void> {
    let open = () => {};
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      open = resolve;
      this.waiting.add(open);
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
    this.waiting.delete(open);
  }

  open(): void {
    for (const open of this.waiting) open();
  }
}
