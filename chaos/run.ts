/**
 * The long faults: `npm run chaos -- [part …] [--minutes 10] [--seed 1]`. Ends with a table, and
 * with exit code 1 where something was not reached.
 */
import { parseArgs } from 'node:util';
import { cycles } from './cycles.js';
import { failover } from './failover.js';
import { faults } from './faults.js';
import { fileKills, fileWriters } from './file.js';
import { hang } from './hang.js';
import { replica } from './replica.js';
import type { Row } from './row.js';
import { cutReplies, ghosts } from './writes.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  throw new Error('Expected --minutes to be a number above 0, and --seed a whole number.');
}

const PARTS: { readonly [name: string]: () => Promise<Row[]> } = {
  faults,
  cutReplies: () => cutReplies(seed),
  ghosts,
  hang: () => hang(60),
  cycles,
  fileKills: () => fileKills(seed),
  fileWriters,
  failover: () => failover(),
  replica: () => replica(minutes, seed),
};

const names = positionals.length > 0 ? positionals : Object.keys(PARTS);
for (const name of names) {
  const part = PARTS[name];
  if (part === undefined) {
    throw new Error(`Expected parts among ${Object.keys(PARTS).join(', ')}, got ${name}.`);
  }
  console.log(`\n${name}`);
  const rows = await part();
  console.table(rows);
  if (rows.some(({ ok }) => !ok)) process.exitCode = 1;
}
