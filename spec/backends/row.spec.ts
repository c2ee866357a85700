import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { transformSync } from '@swc/core';
import type { Backend, ChangeEvent } from '../../lib/backends/backend.js';
import { createFeature } from '../../lib/domain/validate.js';
import * as hanoi from '../../lib/index.js';
import { ReplicaBackend, Rollout } from '../../lib/index.js';
import { backendContract as casesOf } from '../../lib/testing/index.js';
import { useBuilt } from '../built.js';
import { snippets, textOf } from '../readme.js';

// The backend that docs/backends.md shows, as it stands there.

const PAGE = 'docs/backends.md';
const [database = '', backendClass = ''] = snippets(PAGE).map(({ code }) => code);

interface Row {
  readonly version: string;
  readonly text: string;
}

interface Table {
  isDown: boolean;
  get(key: string): Promise<Row | undefined>;
  swap(key: string, expected: string | undefined, next: Row): Promise<boolean>;
}

const compiled = (type: 'commonjs' | 'es6') =>
  transformSync(`${database}\n${backendClass}`, {
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type },
    isModule: true,
  }).code;

const shown = {} as {
  Table: new () => Table;
  RowBackend: new (table: Table, key?: string) => Backend;
};
new Function('require', 'exports', compiled('commonjs'))(
  (name: string) => (name === 'hanoi' ? hanoi : require(name)),
  shown,
);
const { Table, RowBackend } = shown;

const open = async () => new RowBackend(new Table());

describe('a row of a database', () => {
  const document = createFeature('chat', 'id', {});
  let table: Table;
  let backend: Backend;
  beforeEach(async () => {
    table = new Table();
    backend = new RowBackend(table);
    await backend.write({ name: 'chat', expect: 'absent', document });
  });
  afterEach(() => backend.close());

  it('that is not reached is never taken for one that holds nothing', async () => {
    const told: unknown[] = [];
    backend.watch(({ kind, cause, health }) => told.push([kind, cause?.code, health.state]));
    table.isDown = true;
    const reads = [
      () => backend.load('chat'),
      () => backend.loadAll(),
      () => backend.token(),
      () => backend.countMembers('chat'),
      () => backend.history('chat', { limit: 1 }),
      () => backend.read(['chat'], () => 'ann'),
    ];
    for (const read of reads) {
      await expect(read()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    }
    const join = { name: 'chat', expect: 'present', add: ['ann'] } as const;
    await expect(backend.write(join)).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    expect(backend.health()).toMatchObject({ state: 'degraded', error: 'STORE_UNAVAILABLE' });
    table.isDown = false;
    expect(await backend.countMembers('chat')).toBe(0);
    expect(told).toEqual([
      ['degraded', 'STORE_UNAVAILABLE', 'degraded'],
      ['recovered', undefined, 'ready'],
    ]);
  });

  it('that never answers does not make a call hang', async () => {
    table.get = () => new Promise(() => {});
    await expect(backend.token()).rejects.toMatchObject({ code: 'STORE_TIMEOUT' });
    const late = new RowBackend(table);
    const beganAt = performance.now();
    expect(await late.ready(100)).toMatchObject({ state: 'starting' });
    expect(performance.now() - beganAt).toBeLessThan(900);
    await late.close();
  });

  it('that was written and did not say so can be written again, and is written once', async () => {
    const { swap } = table;
    table.swap = async (...args) => {
      await swap.apply(table, args);
      throw new Error('The connection was cut.');
    };
    const join = { name: 'chat', expect: 'present', add: ['ann'] } as const;
    const error = await backend.write(join).catch((cause) => cause);
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', feature: 'chat' });
    table.swap = swap;
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
    const again = await backend.write({ ...join, requestId: error.requestId });
    expect(again).toMatchObject({ added: 1 });
    expect(await backend.countMembers('chat')).toBe(0);
  });

  it('loses nothing that several write at once', async () => {
    const others = Array.from({ length: 4 }, () => new RowBackend(table));
    const ids = (n: number) => Array.from({ length: 10 }, (_, at) => `user-${n}-${at}`);
    await Promise.all(
      others.flatMap((other, n) =>
        ids(n).map((id) => other.write({ name: 'chat', expect: 'present', add: [id] })),
      ),
    );
    expect(await backend.countMembers('chat')).toBe(40);
    const history = await backend.history('chat', { limit: 100 });
    expect(new Set(history.flatMap(({ added }) => added)).size).toBe(40);
    expect(history).toHaveLength(41);
  });

  it('is told of by who writes, and seen by all others, over the same state', async () => {
    const other = new RowBackend(table);
    const events: ChangeEvent[] = [];
    other.subscribe((event) => event && events.push(event));
    await other.write({ name: 'chat', expect: 'present', add: ['ann'] });
    expect(events).toMatchObject([{ name: 'chat', kind: 'members' }]);
    expect(await backend.loadAll()).toEqual(await other.loadAll());
    expect(await backend.history('chat', { limit: 9 })).toEqual(
      await other.history('chat', { limit: 9 }),
    );
  });

  it('that was emptied is a loss to a replica around it', async () => {
    const replica = new ReplicaBackend(backend, { pollMs: 10 });
    const rollout = new Rollout(replica);
    try {
      await rollout.ready();
      const lost = new Promise((resolve) => rollout.on('dataLoss', resolve));
      table.get = async () => undefined;
      await lost;
      expect(rollout.decideSync('chat', 'ann').code).not.toBe('FEATURE_NOT_FOUND');
    } finally {
      await rollout.close();
    }
  });
});

describe('under node --test', () => {
  const built = useBuilt();
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(__dirname, '../../node_modules/.cache/row-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const at = (text: string) =>
    text
      .replaceAll(/'hanoi\/testing'|"hanoi\/testing"/g, built.at('testing/index.js'))
      .replaceAll(/'hanoi'|"hanoi"/g, built.at('index.js'));

  /** As TAP, and whether it has succeeded. */
  const runTests = async () => {
    const args = ['--test', '--test-reporter=tap', folder];
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    return promisify(execFile)(process.execPath, args, { env, maxBuffer: 2 ** 24 }).then(
      ({ stdout }) => ({ isGreen: true, stdout }),
      ({ stdout }) => ({ isGreen: false, stdout: String(stdout) }),
    );
  };

  it('the test that the page shows passes, and fails where the backend is broken', async () => {
    const [, test = ''] = /^```js\n([\s\S]*?)^```$/m.exec(textOf(PAGE)) ?? [];
    const good = compiled('es6');
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'row-backend.js'), at(good));
    writeFileSync(join(folder, 'row-backend.test.js'), at(test));
    const { isGreen, stdout } = await runTests();
    const count = casesOf({ open }).length;
    expect(stdout).toMatch(new RegExp(`^# pass ${count}$`, 'm'));
    expect([isGreen, /^# fail (\d+)$/m.exec(stdout)?.[1]]).toEqual([true, '0']);

    const broken = good.replace(
      '!== expected) return false',
      '!== expected && !next) return false',
    );
    expect(broken).not.toBe(good);
    writeFileSync(
      join(folder, 'row-backend.js'),
      at(broken.replace('this.last.then', 'Promise.resolve().then')),
    );
    const again = await runTests();
    expect(again.isGreen).toBe(false);
    expect(again.stdout).toMatch(/^\s*not ok \d+ - a document › loses no update/m);
  }, 60_000);
});
