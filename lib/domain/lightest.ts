/** Finds the value that has the least weight, the first of equals; log n a step. */
export class Lightest {
  /** A binary heap of places in `values`; undefined while it has to be made anew. */
  private heap: number[] | undefined;
  private sums: number[] = [];

  constructor(
    private readonly values: readonly string[],
    private readonly weights: ReadonlyMap<string, number>,
  ) {}

  /** There has to be one. */
  get value(): string {
    return this.values[this.ready()[0] as number] as string;
  }

  /** So much came to the lightest one, which is another by now. */
  add(weight: number): void {
    const heap = this.ready();
    const top = heap[0] as number;
    this.sums[top] = (this.sums[top] as number) + weight;
    this.sink(heap, 0);
  }

  /** Weights have changed otherwise. */
  changed(): void {
    this.heap = undefined;
  }

  private ready(): number[] {
    if (this.heap !== undefined) return this.heap;
    this.sums = this.values.map((value) => this.weights.get(value) ?? 0);
    const heap = this.values.map((_, at) => at);
    this.heap = heap;
    for (let at = Math.floor(heap.length / 2) - 1; at >= 0; at--) this.sink(heap, at);
    return heap;
  }

  private sink(heap: number[], from: number): void {
    const place = heap[from] as number;
    let at = from;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const child =
        right < heap.length && this.isLighter(heap[right] as number, heap[left] as number)
          ? right
          : left;
      if (!this.isLighter(heap[child] as number, place)) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = place;
  }

  private isLighter(one: number, other: number): boolean {
    const difference = (this.sums[one] as number) - (this.sums[other] as number);
    return difference < 0 || (difference === 0 && one < other);
  }
}
