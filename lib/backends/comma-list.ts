/** Ids as a list holds them: those of comma-joined text, without the empty ones. */
export function splitList(text: string): string[] {
  return [...new Set(text.split(',').filter((item) => item !== ''))];
}
