// The scenario of hanoi's README: one feature for 80%, one user and one pattern registered, and
// then who gets what, which variant, and why.
import { Rollout } from 'hanoi';

const rollout = new Rollout();

await rollout.addFeature('cdc_on', { percentage: 80, variants: ['foo', 'bar'] });
await rollout.register('cdc_on', '447568110000');
await rollout.register('cdc_on', /01$/);

const subjects = ['444401', '44488', '447568110000', '443301', '443302', 42, { id: 7 }, undefined];
const rows = [['subject', 'enabled', 'variant', 'reason', 'because of']];
for (const subject of subjects) {
  const { enabled, variant, reason, detail } = await rollout.decide('cdc_on', subject);
  rows.push([
    subject === undefined ? 'nobody' : JSON.stringify(subject),
    enabled ? 'yes' : 'no',
    variant ?? '-',
    reason,
    detail,
  ]);
}
console.log('cdc_on: 80%, variants foo and bar; registered: 447568110000 and /01$/\n');
print(rows);

const execute = rollout.check('cdc_on')(async () => 'went through');
console.log('\nA function guarded by @check("cdc_on"):');
for (const user of ['443301', '44488']) {
  const outcome = await rollout.runAs(user, execute).catch((error) => `${error.code}`);
  console.log(`  as ${user}: ${outcome}`);
}

await rollout.setPercentage('cdc_on', 100);
console.log(`\nAt 100%, 44488: ${(await rollout.isEnabled('cdc_on', '44488')) ? 'yes' : 'no'}`);
await rollout.close();

if (process.env.REDIS_URL === undefined) {
  console.log('\nWith REDIS_URL set, it goes on with two processes that share a feature.');
} else await import('./two-processes.js');

function print(table) {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const line = widths.map((width) => '─'.repeat(width + 2));
  for (const [at, row] of table.entries()) {
    if (at === 1) console.log(line.join('┼'));
    console.log(
      row
        .map((cell, column) => ` ${cell.padEnd(widths[column])} `)
        .join('│')
        .trimEnd(),
    );
  }
}
