/** What a source has: JSON text, or what it stands for; and what names this version, if anything does. */
export interface LatestVersion {
  readonly body: string | Uint8Array | object;
  readonly etag?: string | undefined;
}

/**
 * Gives the latest version, from wherever it is kept; undefined says that the one of `etag` still
 * is. It may be called again after `signal` has aborted, whether it has ended or not.
 */
export type Latest = (about: {
  /** Of the version that is held; undefined where there is none, or it was given without. */
  readonly etag: string | undefined;
  readonly signal: AbortSignal;
}) => Promise<LatestVersion | undefined>;
