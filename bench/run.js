// Runs every bench in a process of its own and prints what it finds; `--write` keeps it in README.md.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

const BENCHES = [
  'check.js',
  'cli.js',
  'hanoi.js',
  'members.js',
  'ofrep.js',
  'page.js',
  'pinned.js',
  'population.js',
  'redis-checks.js',
  'redis-cluster.js',
  'redis-hanoi.js',
  'redis-members.js',
  'redis-node.js',
  'redis-writes.js',
  'replica-changes.js',
  'replica-checks.js',
  'replica-features.js',
  'rules.js',
];
const at = (path) => new URL(path, import.meta.url);
const read = (path) => readFileSync(at(path), 'utf8');

const { dependencies } = JSON.parse(read('package.json'));
const ioredis = JSON.parse(read('../node_modules/ioredis/package.json')).version;
const versions = Object.entries({ ...dependencies, ioredis }).map(
  ([name, version]) => `${name} ${version}`,
);
const sections = [
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0].model}, Node ${process.versions.node}; ${versions.join(', ')}.`,
];
console.log(sections[0]);
for (const bench of BENCHES) {
  const question = read(bench)
    .split('\n')
    .filter((line, _, lines) => line.startsWith('// ') && lines.indexOf(line) < 3)
    .map((line) => line.slice(3))
    .join(' ');
  console.log(`\n## ${question}\n`);
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };
  const args = ['--expose-gc', at(bench).pathname, ...process.argv.slice(2)];
  const printed = execFileSync(process.execPath, args, options)
    .split('\n')
    // A peer logs to the standard output.
    .filter((line) => !/ \| INFO \| /.test(line))
    .join('\n')
    .trim();
  console.log(printed);
  sections.push(`### ${question}`, printed);
}

if (process.argv.includes('--write')) {
  const [kept] = read('README.md').split('## Results\n');
  writeFileSync(at('README.md'), `${kept}## Results\n\n${sections.join('\n\n')}\n`);
}
