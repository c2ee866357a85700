import { refused } from './parse.js';

/** A Date, or ISO 8601 with a zone. */
export type Instant = string | { getTime(): number; toISOString(): string };

/** With a zone: without one, it would be another instant in each process. */
const ISO =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))$/;

const DAY_MS = 24 * 60 * 60 * 1000;

/** An instant in stored form: ISO 8601 with a zone, as it was given. INVALID_FEATURE with `path`. */
export function parseInstant(value: unknown, path: string): string {
  if (isDate(value) && !Number.isNaN(value.getTime())) return value.toISOString();
  if (typeof value !== 'string' || msOf(value) === undefined) {
    throw refused(
      path,
      'to be a Date, or a date and time with a zone, such as 2026-11-30T09:00:00Z',
      value,
    );
  }
  return value;
}

/** Unix ms of a Date, of ms, or of ISO 8601 with a zone; undefined of anything else. */
export function instantOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value === 'string') return msOf(value);
  if (!isDate(value)) return undefined;
  const ms = value.getTime();
  return Number.isNaN(ms) ? undefined : ms;
}

function msOf(text: string): number | undefined {
  const [all, ...parts] = ISO.exec(text) ?? [];
  if (all === undefined) return undefined;
  const [year, month, day, hour, minute, second = 0] = parts
    .slice(0, 6)
    .map((part) => Number(part ?? 0));
  const [fraction = '', sign, zoneHour = 0, zoneMinute = 0] = parts.slice(6);
  const [y, m, d, h, min] = [year, month, day, hour, minute] as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (m < 1 || m > 12 || d < 1 || d > daysIn(y, m) || h > 23 || min > 59 || second > 59) {
    return undefined;
  }
  if (Number(zoneHour) > 23 || Number(zoneMinute) > 59) return undefined;
  const zoneMs = (Number(zoneHour) * 60 + Number(zoneMinute)) * 60_000 * (sign === '-' ? -1 : 1);
  const ms = Number(fraction.padEnd(9, '0')) / 1e6;
  return daysBefore(y, m, d) * DAY_MS + ((h * 60 + min) * 60 + second) * 1000 + ms - zoneMs;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Days from 1970-01-01 in the Gregorian calendar, by counting years from March on. */
function daysBefore(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const fromMarch = (month + 9) % 12;
  const inYear = Math.floor((153 * fromMarch + 2) / 5) + day - 1;
  const leap = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400);
  return shifted * 365 + leap + inYear - 719_468;
}

/** By shape: a Date of another realm is one too. */
function isDate(value: unknown): value is Exclude<Instant, string> {
  return Object.prototype.toString.call(value) === '[object Date]';
}
