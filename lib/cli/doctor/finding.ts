/** Something that `doctor` found. */
export interface Finding {
  /** `error`: somebody is answered wrongly, or may be soon. `warning`: look at it. `note`: good to know. */
  readonly severity: Severity;
  /** Which check found it: `overlap`, `expired`. */
  readonly kind: string;
  /** What it is about, by name. */
  readonly features: readonly string[];
  readonly message: string;
  readonly fix: string;
}

export const SEVERITIES = ['error', 'warning', 'note'] as const;

export type Severity = (typeof SEVERITIES)[number];
