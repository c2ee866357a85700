import { refused } from './parse.js';

const MS: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Ms of a text such as `14d` or `1d12h`, or of a number of ms, above 0. INVALID_FEATURE with `path`. */
export function parseDuration(value: unknown, path: string): number {
  const ms = typeof value === 'string' ? msOf(value) : value;
  if (typeof ms === 'number' && Number.isFinite(ms) && ms > 0) return ms;
  throw refused(path, 'to be a duration, such as 14d, 36h or 1d12h (w, d, h, m, s, ms)', value);
}

function msOf(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|[smhdw])\s?)+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    ms += Number(number) * (MS[unit as string] as number);
  }
  return ms;
}
