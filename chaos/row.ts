/** One line of the table that a run ends with; `ok` where what was aimed at is reached. */
export interface Row {
  readonly ok: boolean;
  readonly [column: string]: unknown;
}
