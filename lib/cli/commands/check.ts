import type { Decision } from '../../domain/decision.js';
import type { ExplainedCondition } from '../../domain/explain.js';
import type { Subject } from '../../domain/subject.js';
import { HanoiError, notFound } from '../../errors.js';
import { EXIT } from '../failure.js';
import { printable, printableJson } from '../printable.js';
import type { Session } from '../session.js';
import { type Cell, table } from '../table.js';
import { conditionText, fieldsOf, objectOf } from './show.js';

export interface SubjectOptions {
  /** `plan=pro`; a value that is JSON is taken as that. */
  readonly attribute?: readonly string[];
  /** An object in JSON. */
  readonly attributes?: string;
}

/** Ends with 0 where the feature is on for the subject, with 1 where it is off. */
export async function check(
  session: Session,
  name: string,
  id: string | undefined,
  options: SubjectOptions,
): Promise<number> {
  const { rollout, terminal } = session;
  const decision = await rollout.decide(name, subjectOf(id, options));
  refuseNoAnswer(decision);
  if (session.isJson) await terminal.printJson(decision);
  else await terminal.print(decisionLine(session, decision));
  return decision.enabled ? EXIT.done : EXIT.no;
}

export async function explain(
  session: Session,
  name: string,
  id: string | undefined,
  options: SubjectOptions,
): Promise<number> {
  const { rollout, terminal } = session;
  const told = await rollout.explain(name, subjectOf(id, options));
  if (told === undefined) throw notFound(name);
  if (session.isJson) {
    await terminal.printJson(told);
    return EXIT.done;
  }
  const rows: Cell[][] = [];
  for (const { step, rule, outcome, why, when } of told.steps) {
    if (outcome === 'not reached') continue;
    const title = rule === undefined ? step : `rule ${printable(rule)}`;
    const isAnswer = outcome === 'answers';
    rows.push([
      isAnswer ? ['→', 'bold'] : ' ',
      isAnswer ? [title, 'bold'] : title,
      isAnswer ? [printable(why), 'bold'] : [printable(why), 'dim'],
    ]);
    if (when !== undefined) rows.push(...conditionRows(when, 0));
  }
  await terminal.print(
    `${printable(name)}${id === undefined ? '' : ` for ${printable(id)}`}: ${decisionLine(session, told.decision)}`,
    ...table(terminal, ['', '', ''], rows),
  );
  return EXIT.done;
}

/** The parts of a condition that is made of some; whether each holds. */
function conditionRows({ condition, holds, parts }: ExplainedCondition, depth: number): Cell[][] {
  const mark = holds === true ? '✓' : holds === false ? '✗' : '?';
  const indent = '  '.repeat(depth + 1);
  const kind = 'all' in condition ? 'all of' : 'any' in condition ? 'any of' : 'not';
  const text = parts.length > 0 ? kind : conditionText(condition);
  return [
    ['', '', [`${indent}${mark} ${text}`, 'dim']],
    ...parts.flatMap((part) => conditionRows(part, depth + 1)),
  ];
}

function decisionLine({ terminal }: Session, decision: Decision): string {
  const { enabled, variant, value, reason, detail, rule, experiment } = decision;
  const by = [detail, rule && `"${printable(rule)}"`, experiment && `"${printable(experiment)}"`]
    .filter((each) => each !== undefined)
    .join(' ');
  const isSaying = value !== undefined && value !== variant && value !== true;
  return [
    enabled ? terminal.styled('on', 'green') : terminal.styled('off', 'red'),
    ...(variant === undefined ? [] : [`variant ${printable(variant)}`]),
    ...(isSaying ? [`value ${printableJson(value)}`] : []),
    `(${reason}: ${by})`,
  ].join(' ');
}

/** What a check answers for in an outage is no answer here. */
function refuseNoAnswer({ feature, detail, code }: Decision): void {
  if (detail === 'unknown feature') throw notFound(feature);
  if (code === undefined) return;
  const message =
    code === 'CORRUPT_FEATURE'
      ? `The document of ${JSON.stringify(feature)} can't be read; \`hanoi doctor\` says why.`
      : 'The store gave no answer. `hanoi doctor` looks at the connection.';
  throw new HanoiError(code, message, { feature });
}

/** Undefined where nothing is said of one. */
export function subjectOf(
  id: string | undefined,
  { attribute = [], attributes }: SubjectOptions,
): Subject | undefined {
  const given = {
    ...(attributes === undefined ? {} : objectOf(attributes, '`--attributes`')),
    ...fieldsOf(attribute, '`--attribute` to be like plan=pro'),
  };
  if (Object.keys(given).length === 0) return id;
  return id === undefined ? given : { ...given, id };
}
