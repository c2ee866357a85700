import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HanoiError, invalid, refuseUnknownOptions, withoutValue } from '../errors.js';
import { inTime } from '../in-time.js';
import type { Rollout } from '../rollout.js';

/** What `hanoi.config.json`, `.js` or `.mjs` says; the last two by their default export. */
export interface Config {
  /** Where the features are: a URL, or a path from this folder. */
  readonly url?: string;
  /** Who makes changes, where nobody else is named. */
  readonly actor?: string;
  /** Defines groups and segments, so that checks know them. */
  readonly define?: (rollout: Rollout) => unknown;
}

const FILES = ['hanoi.config.json', 'hanoi.config.js', 'hanoi.config.mjs'];

/** Of that folder alone; `{}` where there is none. INVALID_ARGUMENT, also where it takes longer than that. */
export async function readConfig(folder: string, timeoutMs: number): Promise<Config> {
  const [file, ...others] = FILES.filter((each) => existsSync(join(folder, each)));
  if (file === undefined) return {};
  if (others.length > 0) throw wrong(file, `there is ${others.join(' and ')} beside it`);
  const config = await contentsOf(file, join(folder, file), timeoutMs);
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw wrong(file, 'it gives no object with url, actor or define');
  }
  try {
    refuseUnknownOptions(config, ['url', 'actor', 'define']);
    const { url, actor, define } = config as Partial<Record<keyof Config, unknown>>;
    if (url !== undefined && typeof url !== 'string') throw new TypeError('`url` is no text');
    if (actor !== undefined && typeof actor !== 'string')
      throw invalid('`actor` to be text', actor);
    if (define !== undefined && typeof define !== 'function') {
      throw invalid('`define` to be a function', define);
    }
  } catch (cause) {
    throw wrong(file, (cause as Error).message.replace(/\.$/, ''));
  }
  return config as Config;
}

async function contentsOf(file: string, path: string, timeoutMs: number): Promise<unknown> {
  try {
    if (file.endsWith('.json'))
      return JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''));
    const loading: Promise<{ default?: unknown }> = import(pathToFileURL(path).href);
    return (await settled(loading, timeoutMs)).default;
  } catch (cause) {
    // What a JSON error quotes can be a password.
    const why = file.endsWith('.json') ? withoutValue(cause) : (cause as Error).message;
    throw wrong(file, why);
  }
}

/** What code of the config file gives. Rejects where it does not settle within so many ms. */
export function settled<Result>(
  task: Result | Promise<Result>,
  timeoutMs: number,
): Promise<Result> {
  // The timer keeps the process until then: what else would is not the same on every backend.
  return inTime(task, timeoutMs, () => {
    throw new Error(`it did not settle within ${timeoutMs} ms (\`--timeout\`)`);
  });
}

function wrong(file: string, why: string): HanoiError {
  return new HanoiError('INVALID_ARGUMENT', `${file} can't be used: ${why}.`);
}
