import type { Decision, Reason } from '../domain/decision.js';

/** A series of decisions, as its labels name it. */
export interface DecisionLabels {
  readonly feature: string;
  /** Empty where there is none. */
  readonly variant: string;
  readonly enabled: 'true' | 'false';
  readonly reason: Reason;
}

/** Of what was asked for and never seen: names that come from outside make no series of their own. */
const UNKNOWN = '(unknown)';

/** Of what came when there were as many series as there may be. */
const OTHER = '(other)';

interface Cell {
  readonly labels: DecisionLabels;
  /** Since it was taken last. */
  count: number;
}

type Cells = Map<string | undefined, Cell[]>;

/** Counts decisions by feature, variant and reason, in a bounded number of series. */
export class DecisionCounts {
  private readonly byFeature = new Map<string, Cells>();
  private readonly folded = new Map<string, Cells>([
    [UNKNOWN, new Map()],
    [OTHER, new Map()],
  ]);
  private series = 0;

  constructor(private readonly maxSeries: number) {}

  add(decision: Decision): void {
    const { feature, variant, enabled, reason } = decision;
    const cells = this.byFeature.get(feature)?.get(variant);
    // Seven reasons at most, on or off: to look through them takes less than a third map.
    if (cells !== undefined) {
      for (const cell of cells) {
        if (cell.labels.reason !== reason || (cell.labels.enabled === 'true') !== enabled) continue;
        cell.count++;
        return;
      }
    }
    this.addFirst(decision);
  }

  /** What was counted since the last time. */
  *take(): Generator<[labels: DecisionLabels, count: number], void, undefined> {
    for (const group of [this.byFeature, this.folded]) {
      for (const byVariant of group.values()) {
        for (const cells of byVariant.values()) {
          for (const cell of cells) {
            const { labels, count } = cell;
            if (count === 0) continue;
            cell.count = 0;
            yield [labels, count];
          }
        }
      }
    }
  }

  private addFirst({ feature, variant, enabled, reason, detail }: Decision): void {
    const isSeen = this.byFeature.has(feature);
    if (!isSeen && (detail === 'unknown feature' || detail === 'store unavailable')) {
      // A default's variant is the app's own, but by the name alone nobody can tell.
      cellOf(this.folded, UNKNOWN, undefined, enabled, reason).count++;
    } else if (this.series >= this.maxSeries) {
      cellOf(this.folded, OTHER, undefined, enabled, reason).count++;
    } else {
      this.series++;
      cellOf(this.byFeature, feature, variant, enabled, reason).count++;
    }
  }
}

function cellOf(
  byFeature: Map<string, Cells>,
  feature: string,
  variant: string | undefined,
  isEnabled: boolean,
  reason: Reason,
): Cell {
  const byVariant = byFeature.get(feature) ?? new Map<string | undefined, Cell[]>();
  byFeature.set(feature, byVariant);
  const cells = byVariant.get(variant) ?? [];
  byVariant.set(variant, cells);
  const enabled = isEnabled ? 'true' : 'false';
  const known = cells.find(({ labels }) => labels.reason === reason && labels.enabled === enabled);
  if (known !== undefined) return known;
  const cell: Cell = {
    labels: { feature, variant: variant ?? '', enabled, reason },
    count: 0,
  };
  cells.push(cell);
  return cell;
}
