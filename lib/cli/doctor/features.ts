import type { Loaded } from '../../backends/backend.js';
import { groupsIn } from '../../domain/condition.js';
import type { Feature } from '../../domain/feature.js';
import { expiryOf, type Leftover } from '../../domain/leftover.js';
import { isOfFeature, readName, titleOf } from '../../stored-name.js';
import { dayOf } from '../audience.js';
import type { Finding } from './finding.js';

/** What can be said by the documents: corrupt ones, and what they refer to that is not there. */
export function documentFindings(
  features: Loaded['features'],
  defined: ReadonlySet<string>,
): Finding[] {
  const found: Finding[] = [];
  const unstored = new Map<string, string[]>();
  for (const [stored, { feature, problem }] of features) {
    if (problem !== undefined) {
      found.push({
        ...{ severity: 'error', kind: 'corrupt', features: [titled(stored)] },
        message: `${titleOf(stored)} can't be read, and is off: ${problem.message}`,
        fix: 'Roll it back (`hanoi history`, `hanoi rollback`), or remove it and add it again.',
      });
      continue;
    }
    if (!isOfFeature(stored)) continue;
    found.push(...prerequisiteFindings(feature, features));
    if (Number.isNaN(expiryOf(feature))) {
      found.push({
        ...{ severity: 'warning', kind: 'expiresAt', features: [stored] },
        message: `The \`data.expiresAt\` of ${titleOf(stored)} is no date, so it never expires.`,
        fix: 'Write a date, 2026-11-30, or an instant with a zone, 2026-11-30T09:00:00Z.',
      });
    }
    for (const group of groupsOf(feature)) {
      const [, name] = readName(group);
      if (features.has(group) || defined.has(name)) continue;
      unstored.set(name, [...(unstored.get(name) ?? []), stored]);
    }
  }
  for (const [group, names] of unstored) {
    found.push({
      ...{ severity: 'note', kind: 'group', features: names },
      message: `Nobody stores the group ${JSON.stringify(group)}. A process that does not define it knows nobody in it, and a rule that serves off holds for everyone there.`,
      fix: 'Where every process defines it (`defineGroup`), define it in hanoi.config.js too; else store it with `addToGroup`, or take it out.',
    });
  }
  return found;
}

function prerequisiteFindings(feature: Feature, features: Loaded['features']): Finding[] {
  return feature.requires.flatMap(({ feature: name, variants = [] }): Finding[] => {
    const other = features.get(name);
    const about = { severity: 'error', kind: 'prerequisite', features: [feature.name] } as const;
    if (other === undefined) {
      return [
        {
          ...about,
          message: `${titleOf(feature.name)} is off for everyone: it requires ${titleOf(name)}, which is not there.`,
          fix: `Add or restore ${JSON.stringify(name)}, or take it out of \`requires\`.`,
        },
      ];
    }
    const gone = variants.filter((each) => !other.feature?.variants.some((it) => it.name === each));
    if (other.feature === undefined || gone.length === 0) return [];
    return [
      {
        ...about,
        message: `${titleOf(feature.name)} requires variants of ${titleOf(name)} that are not there: ${gone.join(', ')}.`,
        fix: 'Name variants that there are, or bring those back.',
      },
    ];
  });
}

/** As they are stored. */
function groupsOf({ groups, rules }: Feature): ReadonlySet<string> {
  const inRules = rules.flatMap(({ when }) => groupsIn(when));
  const inGates = groupsIn({ any: groups.map((group) => ({ group })) });
  return new Set([...inRules, ...inGates]);
}

export function leftoverFindings(leftovers: readonly Leftover[]): Finding[] {
  return leftovers.map(({ name, why, since, isExact }): Finding => {
    const title = titleOf(name);
    const day = `${isExact ? '' : 'before '}${dayOf(since)}`;
    if (why === 'expired') {
      return {
        ...{ severity: 'warning', kind: 'expired', features: [name] },
        message: `${title} expired on ${dayOf(since)}.`,
        fix: 'Take it out of the code and remove it, or give it another `data.expiresAt`.',
      };
    }
    const what = why === 'everyone' ? 'is on for everyone' : 'reaches nobody, and was not changed';
    return {
      ...{ severity: 'warning', kind: 'left over', features: [name] },
      message: `${title} ${what} since ${day}.`,
      fix:
        why === 'everyone'
          ? 'Keep the new code, take the check out, and remove the feature.'
          : 'Take the check and the code behind it out, and remove the feature.',
    };
  });
}

function titled(stored: string): string {
  return isOfFeature(stored) ? stored : titleOf(stored);
}
