import { html } from 'hono/html';
import type { Ramp } from '../../domain/feature.js';
import { compileRamp, percentageAt } from '../../domain/ramp.js';
import type { Html } from './visit.js';
import { dateOf, percentOf, spanOf } from './wording.js';

/*
 * Drawn with attributes alone: the page's policy takes no style from within it. What a drawing shows
 * stands beside it as text, so those who can't see it miss nothing.
 */

/** So many have it: a bar. */
export function barOf(percentage: number, kind: 'on' | 'off' = 'on'): Html {
  const width = Math.min(100, Math.max(0, percentage));
  return html`<svg class="bar bar-${kind}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="track" width="100" height="6"/><rect class="fill" width="${width}" height="6"/></svg>`;
}

/** So many colours are told apart; then they come again. */
const COLOURS = 6;

export interface Share {
  readonly name: string;
  readonly weight: number;
}

/** Shares of a whole, one after the other. */
export function sharesBarOf(
  shares: readonly Share[],
  kinds: readonly (number | string)[] = shares.map((_, at) => at % COLOURS),
): Html {
  const total = shares.reduce((sum, { weight }) => sum + weight, 0);
  if (total <= 0) return '';
  let from = 0;
  const parts = shares.map(({ weight }, at) => {
    const width = (100 * weight) / total;
    // A gap between neighbours, so that it is not colour alone that tells them apart.
    const gap = from + width < 99.9 ? Math.min(0.4, width / 2) : 0;
    const part = html`<rect class="share-${kinds[at] ?? 0}" x="${rounded(from)}" width="${rounded(width - gap)}" height="6"/>`;
    from += width;
    return part;
  });
  return html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="track" width="100" height="6"/>${parts}</svg>`;
}

/** The colour of one share, for its name. */
export function swatchOf(kind: number | string): Html {
  return html`<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" focusable="false"><rect class="share-${typeof kind === 'number' ? kind % COLOURS : kind}" width="10" height="10"/></svg>`;
}

interface Plot {
  readonly width: number;
  readonly height: number;
  /** Room for the line's own width. */
  readonly margin: number;
}

/** A ramp as small as a word. */
export function rampLineOf(ramp: Ramp, now: number): Html {
  const plot = { width: 72, height: 18, margin: 3 };
  const { path, x, y } = plotted(ramp, now, plot);
  return html`<svg class="ramp-line" viewBox="0 0 72 18" width="72" height="18" aria-hidden="true" focusable="false"><path class="ramp-path" d="${path}"/><circle class="ramp-now" cx="${x}" cy="${y}" r="2.4"/></svg>`;
}

/** A ramp over time, with now marked. */
export function rampChartOf(ramp: Ramp, now: number): Html {
  const plot = { width: 640, height: 150, margin: 6 };
  const { path, area, x, y, from, to } = plotted(ramp, now, plot);
  const compiled = compileRamp(ramp);
  const present = percentageAt(compiled, now);
  const [first, last] = [compiled.times[0] as number, compiled.times.at(-1) as number];
  const [low, high] = [compiled.percentages[0] as number, compiled.percentages.at(-1) as number];
  const isPaused = compiled.pausedAt <= now;
  const position = isPaused
    ? `paused at ${percentOf(present, 2)}`
    : now < first
      ? `begins in ${spanOf(first - now)}`
      : now >= last
        ? `came to its end, ${percentOf(present, 2)}`
        : `now ${percentOf(present, 2)}, ends in ${spanOf(last - now)}`;
  return html`<figure class="ramp">
<svg viewBox="0 0 640 150" role="img" aria-label="Ramp from ${percentOf(low)} at ${dateOf(first)} to ${percentOf(high)} at ${dateOf(last)}: ${position}." focusable="false" preserveAspectRatio="none">
<line class="ramp-grid" x1="0" x2="640" y1="${heightOf(100, plot)}" y2="${heightOf(100, plot)}"/><line class="ramp-grid" x1="0" x2="640" y1="${heightOf(50, plot)}" y2="${heightOf(50, plot)}"/><line class="ramp-grid" x1="0" x2="640" y1="${heightOf(0, plot)}" y2="${heightOf(0, plot)}"/>
<path class="ramp-area" d="${area}"/><path class="ramp-path" d="${path}"/>
<line class="ramp-cursor" x1="${x}" x2="${x}" y1="0" y2="150"/><circle class="ramp-now" cx="${x}" cy="${y}" r="5"/>
</svg>
<div class="ramp-axis" aria-hidden="true"><span>${dateOf(from)}</span><span>${dateOf(to)}</span></div>
<figcaption>${percentOf(low)} → ${percentOf(high)}: <strong>${position}</strong></figcaption>
</figure>`;
}

function plotted(ramp: Ramp, now: number, plot: Plot) {
  const compiled = compileRamp(ramp);
  const { times, percentages, pausedAt } = compiled;
  const [first, last] = [times[0] as number, times.at(-1) as number];
  // With now in it, and some room at both ends.
  const [least, most] = [Math.min(first, now), Math.max(last, now)];
  const room = Math.max(1, (most - least) * 0.03);
  const [from, to] = [least - room, most + room];
  const across = (at: number) => rounded(((at - from) / (to - from)) * plot.width);
  const steps: string[] = [`M0 ${heightOf(0, plot)}H${across(first)}`];
  for (const [at, time] of times.entries()) {
    steps.push(`L${across(time)} ${heightOf(percentages[at] as number, plot)}`);
  }
  steps.push(`H${plot.width}`);
  const path = steps.join('');
  const present = percentageAt(compiled, now);
  return {
    path,
    area: `${path}V${heightOf(0, plot)}H0Z`,
    // Where it was paused, time stands still.
    x: across(Math.min(now, pausedAt)),
    y: heightOf(present, plot),
    from,
    to,
  };
}

function heightOf(percentage: number, { height, margin }: Plot): number {
  return rounded(height - margin - (percentage / 100) * (height - 2 * margin));
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Three discs. */
export function logo(): Html {
  return html`<svg class="logo" viewBox="0 0 24 20" width="24" height="20" aria-hidden="true" focusable="false"><rect x="8" y="1" width="8" height="5" rx="2.5"/><rect x="4.5" y="7.5" width="15" height="5" rx="2.5"/><rect x="1" y="14" width="22" height="5" rx="2.5"/></svg>`;
}
