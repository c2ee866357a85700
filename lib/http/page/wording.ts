import { html } from 'hono/html';
import type { Html } from './visit.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `2 h ago`, and when exactly. */
export function timeOf(at: number, now: number): Html {
  if (!Number.isFinite(at)) return html`at no known time`;
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}" title="${dateOf(at)}">${agoOf(at, now)}</time>`;
}

/** `44 days`, and since when exactly. */
export function spanSince(at: number, now: number): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}" title="since ${dateOf(at)}">${spanOf(now - at)}</time>`;
}

/** `21 Nov 2026, 14:03 UTC`. */
export function dateOf(at: number): string {
  if (!Number.isFinite(at) || Math.abs(at) > 8.64e15) return 'no known time';
  const [, day, month, year, time] =
    /^\w+, (\d+) (\w+) (\d+) (\d+:\d+)/.exec(new Date(at).toUTCString()) ?? [];
  return `${Number(day)} ${month} ${year}, ${time} UTC`;
}

function agoOf(at: number, now: number): string {
  const ms = Math.abs(now - at);
  if (ms < MINUTE_MS) return 'just now';
  const text = spanOf(ms);
  return at <= now ? `${text} ago` : `in ${text}`;
}

/** `3 d`, in its largest unit. */
export function spanOf(ms: number): string {
  if (ms < HOUR_MS) return `${Math.max(1, Math.round(ms / MINUTE_MS))} min`;
  if (ms < 2 * DAY_MS) return `${Math.round(ms / HOUR_MS)} h`;
  return `${Math.round(ms / DAY_MS)} days`;
}

/** `42.5%`, with up to so many decimals; `<0.1%` and `>99.9%` of what is not quite nobody, or everybody. */
export function percentOf(value: number, decimals: number = 4): string {
  const rounded = Number(value.toFixed(decimals));
  const least = 10 ** -decimals;
  if (rounded === 0 && value > 0) return `<${least.toFixed(decimals)}%`;
  if (rounded === 100 && value < 100) return `>${(100 - least).toFixed(decimals)}%`;
  return `${rounded}%`;
}

/** `1 rule`, `2 rules`, `1,200 members`. */
export function countOf(count: number, one: string, many: string = `${one}s`): string {
  return `${numberOf(count)} ${count === 1 ? one : many}`;
}

export function numberOf(count: number): string {
  return count.toLocaleString('en');
}

/** A name as it was given, whatever direction it is written in. */
export function named(name: string): Html {
  return html`<bdi>${name}</bdi>`;
}

/** `a, b and 3 more`. */
export function listOf(texts: readonly string[], most: number = 5): string {
  const shown = texts.slice(0, most).join(', ');
  return texts.length > most ? `${shown} and ${numberOf(texts.length - most)} more` : shown;
}
