/** The items, at most so many at a time. */
export async function* batchesOf<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  most: number,
): AsyncGenerator<readonly Item[], void, undefined> {
  let batch: Item[] = [];
  for await (const item of items) {
    if (batch.push(item) < most) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
