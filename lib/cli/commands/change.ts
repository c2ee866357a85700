import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { RampPlan } from '../../domain/ramp.js';
import type { FeatureSettings } from '../../domain/validate.js';
import { HanoiError, invalid } from '../../errors.js';
import { EXIT } from '../failure.js';
import type { Session } from '../session.js';
import { fieldsOf, objectOf, tellFeature } from './show.js';

export interface AddOptions {
  readonly percentage?: number;
  /** `foo`, or `foo=3` with a weight. */
  readonly variant?: readonly string[];
  readonly group?: readonly string[];
  readonly bucketing?: string;
  readonly subjectKey?: string;
  readonly disabled?: boolean;
  /** `owner=checkout`; a value that is JSON is taken as that. */
  readonly data?: readonly string[];
  readonly settings?: string;
}

export async function add(session: Session, name: string, options: AddOptions): Promise<number> {
  const { percentage, variant, group, bucketing, subjectKey, disabled, data, settings } = options;
  const given = settings === undefined ? {} : await settingsFrom(session, settings);
  const feature = await session.rollout.addFeature(
    name,
    {
      ...given,
      ...(percentage !== undefined && { percentage }),
      ...(variant !== undefined && { variants: variant.map(variantOf) }),
      ...(group !== undefined && { groups: group }),
      ...(bucketing !== undefined && { bucketing: bucketing as 'modulo' }),
      ...(subjectKey !== undefined && { subjectKey }),
      ...(disabled && { enabled: false }),
      ...(data !== undefined && {
        data: {
          ...(given.data as object),
          ...fieldsOf(data, '`--data` to be like owner=checkout'),
        } as object,
      }),
    } as FeatureSettings,
    session.about,
  );
  await tellFeature(session, feature, 'added');
  return EXIT.done;
}

export async function update(session: Session, name: string, settings: string): Promise<number> {
  const given = await settingsFrom(session, settings);
  const feature = await session.rollout.update(name, given as FeatureSettings, session.about);
  await tellFeature(session, feature, 'updated');
  return EXIT.done;
}

export async function enable(session: Session, name: string): Promise<number> {
  await tellFeature(session, await session.rollout.enable(name, session.about), 'enabled');
  return EXIT.done;
}

export async function disable(session: Session, name: string): Promise<number> {
  await tellFeature(session, await session.rollout.disable(name, session.about), 'disabled');
  return EXIT.done;
}

export async function percentage(session: Session, name: string, share: number): Promise<number> {
  const feature = await session.rollout.setPercentage(name, share, session.about);
  await tellFeature(session, feature, `set to ${share}%`);
  return EXIT.done;
}

export async function startRamp(session: Session, name: string, plan: RampPlan): Promise<number> {
  const feature = await session.rollout.ramp(name, plan, session.about);
  await tellFeature(session, feature, 'ramp started');
  return EXIT.done;
}

export async function pauseRamp(session: Session, name: string): Promise<number> {
  await tellFeature(session, await session.rollout.pauseRamp(name, session.about), 'ramp paused');
  return EXIT.done;
}

export async function resumeRamp(session: Session, name: string): Promise<number> {
  const feature = await session.rollout.resumeRamp(name, session.about);
  await tellFeature(session, feature, 'ramp resumed');
  return EXIT.done;
}

export async function rewindRamp(session: Session, name: string, by: string): Promise<number> {
  const feature = await session.rollout.rewindRamp(name, by, session.about);
  await tellFeature(session, feature, `ramp rewound by ${by}`);
  return EXIT.done;
}

export async function jumpRamp(session: Session, name: string, share: number): Promise<number> {
  const feature = await session.rollout.jumpRamp(name, share, session.about);
  await tellFeature(session, feature, `ramp taken to ${share}%`);
  return EXIT.done;
}

export async function exclude(
  session: Session,
  name: string,
  ids: readonly string[],
): Promise<number> {
  const feature = await session.rollout.exclude(name, ids, session.about);
  await tellFeature(session, feature, `${feature.excluded.length} excluded now`);
  return EXIT.done;
}

export async function unexclude(
  session: Session,
  name: string,
  ids: readonly string[],
): Promise<number> {
  const feature = await session.rollout.unexclude(name, ids, session.about);
  await tellFeature(session, feature, `${feature.excluded.length} excluded now`);
  return EXIT.done;
}

/** JSON as it is; `@file` or `-` (stdin) for where it stands. INVALID_ARGUMENT. */
async function settingsFrom(
  { terminal }: Session,
  given: string,
): Promise<{ readonly [key: string]: unknown }> {
  if (given === '-') {
    let text = '';
    for await (const chunk of terminal.stdin) text += String(chunk);
    return objectOf(text, 'the settings on stdin');
  }
  if (!given.startsWith('@')) return objectOf(given, 'the settings');
  let text: string;
  try {
    text = readFileSync(resolve(terminal.folder, given.slice(1)), 'utf8');
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    throw new HanoiError('INVALID_ARGUMENT', `Expected a file of settings at ${given} (${code}).`);
  }
  return objectOf(text, `the settings in ${given.slice(1)}`);
}

function variantOf(text: string): { name: string; weight: number } {
  const at = text.lastIndexOf('=');
  if (at < 0) return { name: text, weight: 1 };
  const weight = Number(text.slice(at + 1));
  if (text.slice(at + 1).trim() === '' || Number.isNaN(weight)) {
    throw invalid('`--variant` to be like foo, or foo=3 with a weight', text);
  }
  return { name: text.slice(0, at), weight };
}
