import type { Condition, Feature, Rule } from '../../domain/feature.js';
import type { Leftover } from '../../domain/leftover.js';
import { HanoiError, invalid, notFound } from '../../errors.js';
import { audienceOf, leftoverWords, percentageOf, rampStateOf } from '../audience.js';
import { EXIT } from '../failure.js';
import { printable, printableJson } from '../printable.js';
import { barOf } from '../progress.js';
import type { Session } from '../session.js';

/** One feature as `--json` has it. */
export interface Listed {
  readonly name: string;
  readonly enabled: boolean;
  /** As it is now. */
  readonly percentage: number;
  readonly ramp: ReturnType<typeof rampStateOf> | null;
  readonly members: number;
  readonly feature: Feature;
  readonly leftOver: readonly Omit<Leftover, 'name'>[];
}

export function listedOf(
  feature: Feature,
  members: number,
  leftovers: readonly Leftover[],
  now: number,
): Listed {
  const { name, enabled, percentage } = feature;
  return {
    ...{ name, enabled, percentage: percentageOf(feature, now) },
    ramp: typeof percentage === 'object' ? rampStateOf(percentage, now) : null,
    ...{ members, feature },
    leftOver: leftovers.map(({ why, since, isExact }) => ({ why, since, isExact })),
  };
}

export async function show(session: Session, name: string): Promise<number> {
  const { rollout, terminal } = session;
  const feature = await rollout.get(name);
  if (feature === undefined) throw notFound(name);
  const [members, leftOver] = await Promise.all([
    rollout.countMembers(name),
    rollout.leftovers(name),
  ]);
  if (session.isJson) {
    await terminal.printJson(listedOf(feature, members, leftOver, Date.now()));
    return EXIT.done;
  }
  await terminal.print(
    ...linesOf(feature, members, session),
    ...leftOver.map((each) => terminal.styled(`left over    ${leftoverWords(each)}`, 'yellow')),
  );
  return EXIT.done;
}

/** What a write has left, in one line; with `--json` the feature. */
export async function tellFeature(session: Session, feature: Feature, done: string): Promise<void> {
  const { terminal } = session;
  if (session.isJson) {
    await terminal.printJson({ feature });
    return;
  }
  const { name, enabled, revision } = feature;
  const share = `${percentageOf(feature, Date.now())}%`;
  await terminal.print(
    `${printable(name)}: ${done} (${enabled ? share : `off, ${share}`}, revision ${revision})`,
  );
}

function linesOf(feature: Feature, members: number, { terminal }: Session): string[] {
  const now = Date.now();
  const share = percentageOf(feature, now);
  const { name, enabled, bucketing, subjectKey, rules, excluded, offValue, data, id, revision } =
    feature;
  const state = enabled
    ? terminal.styled('on', 'green')
    : terminal.styled('off for everyone (kill switch)', 'red');
  const line = (title: string, text: string) => `${title.padEnd(12)} ${text}`;
  const words = audienceOf({ ...feature, rules: [], excluded: [] }, members, now);
  return [
    terminal.styled(printable(name), 'bold'),
    line('state', state),
    line('share', `${barOf(share / 100, 20)} ${share}% (${bucketing})`),
    ...words.map((word, at) => line(at === 0 ? 'who' : '', word)),
    ...rules.map((rule, at) => line(at === 0 ? 'rules' : '', ruleText(rule))),
    ...(excluded.length > 0 ? [line('excluded', namesOf(excluded))] : []),
    ...(subjectKey !== undefined ? [line('goes by', printable(subjectKey))] : []),
    ...(offValue !== undefined ? [line('off value', printableJson(offValue))] : []),
    ...Object.entries(data).map(([key, value], at) =>
      line(
        at === 0 ? 'data' : '',
        `${printable(key)}: ${typeof value === 'string' ? printable(value) : printableJson(value)}`,
      ),
    ),
    line('revision', terminal.styled(`${revision} of ${printable(id)}`, 'dim')),
  ];
}

function namesOf(ids: readonly string[]): string {
  const shown = ids.slice(0, 10).map(printable).join(', ');
  return ids.length > 10 ? `${shown} and ${ids.length - 10} more` : shown;
}

/** `old-apps: off, if app satisfies ">=2.1"`. */
function ruleText({ id, when, serve, percentage, from, until }: Rule): string {
  const share = percentage === undefined ? '' : ` for ${percentageOf({ percentage }, Date.now())}%`;
  const window = [from && `from ${printable(from)}`, until && `until ${printable(until)}`];
  return [
    `${printable(id)}: ${typeof serve === 'string' ? serve : printableJson(serve)}${share}`,
    `if ${conditionText(when)}`,
    ...window.filter((each) => each !== undefined),
  ].join(', ');
}

/** A condition as a person would say it. */
export function conditionText(condition: Condition): string {
  const within = (part: Condition) =>
    'all' in part || 'any' in part ? `(${conditionText(part)})` : conditionText(part);
  if ('all' in condition) return condition.all.map(within).join(' and ') || 'always';
  if ('any' in condition) return condition.any.map(within).join(' or ') || 'never';
  if ('not' in condition) return `not ${within(condition.not)}`;
  if ('users' in condition) return `the id is one of ${namesOf(condition.users)}`;
  if ('matches' in condition) {
    return printable(`the id matches /${condition.matches.source}/${condition.matches.flags}`);
  }
  if ('group' in condition) return `in group ${printable(condition.group)}`;
  if ('segment' in condition) {
    return `${printable(condition.segment)} is ${condition.in.map(printable).join(' or ')}`;
  }
  if ('attribute' in condition) {
    const { attribute, op, value } = condition;
    return `${printable(attribute)} ${op}${value === undefined ? '' : ` ${printableJson(value)}`}`;
  }
  return printableJson(condition);
}

/** A JSON object from the command line. INVALID_ARGUMENT. */
export function objectOf(text: string, what: string): { readonly [key: string]: unknown } {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as { readonly [key: string]: unknown };
    }
  } catch {
    // Said below.
  }
  throw new HanoiError('INVALID_ARGUMENT', `Expected ${what} to be an object in JSON.`);
}

/**
 * Of each `plan=pro` a field; a value that is JSON is taken as that, but for a number that would become
 * another one. INVALID_ARGUMENT.
 */
export function fieldsOf(texts: readonly string[], expected: string): Record<string, unknown> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw invalid(expected, text);
      return [text.slice(0, at), parsedOrText(text.slice(at + 1))];
    }),
  );
}

function parsedOrText(text: string): unknown {
  try {
    const parsed = JSON.parse(text) as unknown;
    const isExact =
      typeof parsed !== 'number' || !/^-?\d+$/.test(text) || Number.isSafeInteger(parsed);
    return isExact ? parsed : text;
  } catch {
    return text;
  }
}
