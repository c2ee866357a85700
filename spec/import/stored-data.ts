/** A fixture's Redis database as an importer takes it: the gem's logs (zsets) are not features. */
export function storedData(
  redis: Readonly<Record<string, { type: string; value: unknown }>>,
): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(redis)
      .filter(([, { type }]) => type === 'string' || type === 'set')
      .map(([key, { value }]) => [key, value as string | string[]]),
  );
}
