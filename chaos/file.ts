import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FileBackend } from '../lib/backends/file/index.js';
import { Rollout } from '../lib/rollout.js';
import { seeded } from '../spec/property.js';
import type { Row } from './row.js';

const WRITER = fileURLToPath(new URL('./file-writer.js', import.meta.url));
const OPTIONS = { operationTimeoutMs: 60_000 };

/** What 500 writers leave behind that are killed at random moments, while somebody reads. */
export async function fileKills(seed: number): Promise<Row[]> {
  const random = seeded(seed);
  const folder = mkdtempSync(join(tmpdir(), 'hanoi-chaos-'));
  const path = join(folder, 'features.json');
  const rollout = new Rollout(new FileBackend(path, OPTIONS));
  await rollout.addFeature('list');
  let isOver: boolean = false;
  let reads = 0;
  let torn = 0;
  const reading = (async () => {
    while (!isOver) {
      reads++;
      try {
        JSON.parse(readFileSync(path, 'utf8'));
      } catch {
        torn++;
      }
      await delay(1);
    }
  })();
  let acknowledged = 0;
  let slowestMs = 0;
  for (let kill = 0; kill < 500; kill++) {
    const child = fork(WRITER, [path, `${kill}`]);
    child.on('message', () => {
      acknowledged++;
    });
    await once(child, 'message');
    await delay(random() * 30);
    child.kill('SIGKILL');
    await once(child, 'close');
    const beganAt = performance.now();
    await rollout.register('list', `after ${kill}`);
    acknowledged++;
    slowestMs = Math.max(slowestMs, performance.now() - beganAt);
    // So that the file stays as small as it is in use.
    if (kill % 50 === 49) {
      const members: string[] = [];
      for await (const id of rollout.members('list')) members.push(id);
      if (members.length < acknowledged) throw new Error('An acknowledged write is not there.');
      acknowledged = 0;
      await rollout.unregister('list', members);
    }
  }
  isOver = true;
  await reading;
  await rollout.close();
  const left = readdirSync(folder).length - 1;
  rmSync(folder, { recursive: true });
  return [
    {
      ok: torn === 0,
      ...{ seed, kills: 500, reads, torn, otherFilesLeft: left },
      slowestWriteAfterMs: Math.round(slowestMs),
    },
  ];
}

/** Whether 8 processes with 200 edits each lose one. */
export async function fileWriters(): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'hanoi-chaos-'));
  const path = join(folder, 'features.json');
  const rollout = new Rollout(new FileBackend(path, OPTIONS));
  await rollout.addFeature('list');
  await rollout.addFeature('counter', { data: { n: 0 } });
  const beganAt = performance.now();
  const codes = await Promise.all(
    Array.from({ length: 8 }, async (_, process) => {
      const [code] = await once(fork(WRITER, [path, `${process}`, '100']), 'close');
      return code;
    }),
  );
  const seconds = (performance.now() - beganAt) / 1_000;
  const members = await rollout.countMembers('list');
  const n = Number((await rollout.get('counter'))?.data.n);
  await rollout.close();
  rmSync(folder, { recursive: true });
  return [
    {
      ok: members + n === 1_600 && codes.every((code) => code === 0),
      ...{
        processes: 8,
        edits: 1_600,
        members,
        counter: n,
        editsASecond: Math.round(1_600 / seconds),
      },
    },
  ];
}
