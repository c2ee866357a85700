import { userInfo } from 'node:os';
import type { Backend, Source } from '../backends/backend.js';
import { HanoiError } from '../errors.js';
import { Rollout } from '../rollout.js';
import type { WriteOptions } from '../writer.js';
import { readConfig, settled } from './config.js';
import { DEFAULT_FILE, type Opened, openPlace, type Place, parsePlace } from './place.js';
import type { Terminal } from './terminal.js';

/** The options that every command has. */
export interface CommonOptions {
  readonly url?: string;
  readonly json?: boolean;
  readonly actor?: string;
  readonly note?: string;
  readonly requestId?: string;
  /** In ms. */
  readonly timeout?: number;
}

/** What a command works with. */
export interface Session {
  readonly terminal: Terminal;
  readonly isJson: boolean;
  readonly place: Place;
  readonly opened: Opened;
  readonly source: Source;
  /** Its writes name the actor. */
  readonly rollout: Rollout;
  readonly actor: string;
  /** For every write. */
  readonly about: Pick<WriteOptions, 'note' | 'requestId'>;
  /** The groups that the config file has defined. */
  readonly defined: ReadonlySet<string>;
  readonly timeoutMs: number;
}

const TIMEOUT_MS = 5_000;

/** Opens where the features are, by `--url`, HANOI_URL, the config file or the working folder. */
export async function inSession<Result>(
  terminal: Terminal,
  options: CommonOptions,
  command: (session: Session) => Promise<Result>,
  isServing = false,
): Promise<Result> {
  const { env, folder } = terminal;
  const { json: isJson = false, note, requestId, timeout: timeoutMs = TIMEOUT_MS } = options;
  const config = await readConfig(folder, timeoutMs);
  const where = options.url ?? (env.HANOI_URL || undefined) ?? config.url ?? DEFAULT_FILE;
  const place = parsePlace(where, folder);
  const actor = options.actor ?? (env.HANOI_ACTOR || undefined) ?? config.actor ?? userName();
  const opened = await openPlace(place, { timeoutMs, readToken: env.HANOI_READ_TOKEN });
  let { source } = opened;
  try {
    // What is asked often is answered without asking Redis.
    if (isServing && place.kind === 'redis' && place.backend !== 'rollout-gem') {
      const { ReplicaBackend } = await import('../backends/replica.js');
      source = new ReplicaBackend(source as Backend);
    }
    const rollout = new Rollout(source).as(actor);
    const defined = await defineBy(config.define, rollout, timeoutMs);
    return await command({
      ...{ terminal, isJson, place, opened, source, rollout, actor, defined, timeoutMs },
      about: { note, requestId },
    });
  } finally {
    await source.close();
    await opened.close();
  }
}

async function defineBy(
  define: ((rollout: Rollout) => unknown) | undefined,
  rollout: Rollout,
  timeoutMs: number,
): Promise<ReadonlySet<string>> {
  const defined = new Set<string>();
  if (define === undefined) return defined;
  const noted: Rollout = Object.create(rollout);
  noted.defineGroup = (group, isIn) => {
    rollout.defineGroup(group, isIn);
    defined.add(group);
  };
  try {
    await settled(define(noted), timeoutMs);
  } catch (cause) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `\`define\` of the config file failed: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  return defined;
}

/** Of the system; a container can have one that has no name. */
function userName(): string {
  try {
    return userInfo().username || 'unknown';
  } catch {
    return 'unknown';
  }
}
