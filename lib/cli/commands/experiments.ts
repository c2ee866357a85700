import { featuresOf, stateAt } from '../../domain/experiment.js';
import { notFound } from '../../errors.js';
import { storedName } from '../../stored-name.js';
import { shareOf } from '../audience.js';
import { EXIT } from '../failure.js';
import { printable, printableJson } from '../printable.js';
import { barOf } from '../progress.js';
import type { Session } from '../session.js';
import { table } from '../table.js';
import { conditionText } from './show.js';

export async function listExperiments(session: Session): Promise<number> {
  const { rollout, terminal } = session;
  const now = Date.now();
  const experiments = (await rollout.experiments()).map((each) => ({
    ...each,
    state: stateAt(each, now),
  }));
  if (session.isJson) {
    await terminal.printJson({ experiments });
    return EXIT.done;
  }
  const rows = experiments.map((each) => [
    [printable(each.name), 'bold'] as const,
    [each.state, ...(each.state === 'live' ? (['green'] as const) : (['dim'] as const))] as const,
    `${printable(each.from)} – ${printable(each.until)}`,
    `${featuresOf(each).map(printable).join(', ')}: ${each.arms
      .map(({ name, proportion }) => `${printable(name)} ${shareOf(proportion)}`)
      .join(' · ')}`,
  ]);
  if (rows.length === 0) terminal.warn('There are no experiments.\n');
  else await terminal.print(...table(terminal, ['EXPERIMENT', '', 'LIVES', 'ARMS'], rows));
  return EXIT.done;
}

export async function showExperiment(session: Session, name: string): Promise<number> {
  const { rollout, terminal } = session;
  const report = await rollout.experiment(name);
  if (report === undefined) throw notFound(storedName('experiment', name));
  if (session.isJson) {
    await terminal.printJson(report);
    return EXIT.done;
  }
  const uses = report.arms.reduce((sum, arm) => sum + arm.uses, 0);
  const rows = report.arms.map((arm) => [
    [printable(arm.name), 'bold'] as const,
    `${barOf(arm.proportion, 10)} ${shareOf(arm.proportion)}`,
    `${arm.uses.toLocaleString('en')} uses${uses > 0 ? ` (${shareOf(arm.uses / uses)})` : ''}`,
    printableJson(arm.features),
  ]);
  const { sampleRatio, missing } = report;
  await terminal.print(
    `${terminal.styled(printable(name), 'bold')} ${report.state}, ${printable(report.from)} – ${printable(report.until)}`,
    `who takes part: ${conditionText(report.when)}`,
    ...table(terminal, ['ARM', 'PROPORTION', '', 'GIVES'], rows),
    ...(missing.length > 0 ? [`not in it any more: ${missing.map(printable).join(', ')}`] : []),
    ...(sampleRatio === undefined
      ? ['too few uses to compare them with the proportions']
      : sampleRatio.isMismatched
        ? [
            terminal.styled(
              `The uses do not fit to the proportions (p = ${sampleRatio.pValue.toExponential(1)}): do not trust the result.`,
              'red',
            ),
          ]
        : [`the uses fit to the proportions (p = ${sampleRatio.pValue.toFixed(3)})`]),
  );
  return EXIT.done;
}
