import { leftoversIn } from '../../leftovers.js';
import { isOfFeature } from '../../stored-name.js';
import { documentFindings, leftoverFindings } from '../doctor/features.js';
import { type Finding, SEVERITIES, type Severity } from '../doctor/finding.js';
import { overlaps } from '../doctor/overlap.js';
import { type ServerFacts, serverFindings } from '../doctor/redis.js';
import { EXIT } from '../failure.js';
import { notReached, titleOf } from '../place.js';
import { printable } from '../printable.js';
import type { Session } from '../session.js';
import type { Style } from '../terminal.js';

export interface DoctorOptions {
  /** Only findings of this severity, and of graver ones. */
  readonly severity?: Severity;
}

const STYLES: { readonly [severity in Severity]: Style } = {
  error: 'red',
  warning: 'yellow',
  note: 'dim',
};

/** Ends with 1 where something was found that is more than a note. */
export async function doctor(
  session: Session,
  { severity = 'note' }: DoctorOptions,
): Promise<number> {
  const { terminal, source, place, opened, defined } = session;
  const loaded = await source.loadAll();
  const { features } = loaded;
  const leftovers = await leftoversIn(source, Date.now(), loaded);
  const live = [...features.values()]
    .flatMap(({ feature }) => (feature === undefined ? [] : [feature]))
    .filter(({ name }) => isOfFeature(name));
  let facts: ServerFacts | undefined;
  let onServer: readonly Finding[] = [];
  if (place.kind === 'redis' && place.backend !== 'rollout-gem' && opened.client !== undefined) {
    try {
      const { namespace = 'hanoi' } = place;
      ({ facts, findings: onServer } = await serverFindings(opened.client, source, namespace));
    } catch (cause) {
      throw notReached(place, cause);
    }
  }
  const rank = (each: Severity) => SEVERITIES.indexOf(each);
  const findings = [
    ...documentFindings(features, defined),
    ...overlaps(live, Date.now()),
    ...leftoverFindings(leftovers),
    ...onServer,
  ]
    .filter((each) => rank(each.severity) <= rank(severity))
    .sort((one, other) => rank(one.severity) - rank(other.severity));
  const isGrave = findings.some((each) => each.severity !== 'note');
  const exitCode = isGrave ? EXIT.no : EXIT.done;
  if (session.isJson) {
    const server = facts ?? null;
    await terminal.printJson({ place: titleOf(place), features: live.length, server, findings });
    return exitCode;
  }
  await terminal.print(
    `${titleOf(place)}: ${live.length} features`,
    ...(facts === undefined ? [] : [factsLine(facts)]),
  );
  for (const { severity: how, kind, message, fix } of findings) {
    await terminal.print(
      '',
      `${terminal.styled(how, 'bold', STYLES[how])} ${kind}: ${printable(message)}`,
      `  → ${printable(fix)}`,
    );
  }
  await terminal.print(
    '',
    findings.length === 0 ? 'Nothing was found.' : `${findings.length} found.`,
  );
  return exitCode;
}

function factsLine({
  roundTripMs,
  clockDifferenceMs,
  version,
  appendOnly,
  ...others
}: ServerFacts) {
  const { evictionPolicy, sets } = others;
  return [
    version ?? 'version unknown',
    `round trip ${roundTripMs} ms`,
    `clock ${clockDifferenceMs >= 0 ? '+' : ''}${clockDifferenceMs} ms`,
    ...(evictionPolicy === null ? [] : [evictionPolicy]),
    ...(appendOnly === null ? [] : [appendOnly ? 'append-only file' : 'no append-only file']),
    ...(sets === null ? [] : [`${sets.scanned} sets`]),
  ]
    .map(printable)
    .join(', ');
}
