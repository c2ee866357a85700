import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { Rollout } from '../lib/index.js';

const rollout = new Rollout();

beforeAll(async () => {
  await rollout.addFeature('odd', { patterns: [/[13579]$/] });
});

describe('the current subject', () => {
  it('is none outside of runAs', () => {
    expect(rollout.currentSubject()).toBeUndefined();
  });

  it('holds through awaits, timers and callbacks, and ends with the call', async () => {
    const seen: unknown[] = [];
    await rollout.runAs('u1', async () => {
      seen.push(rollout.currentSubject());
      await Promise.resolve();
      seen.push(rollout.currentSubject());
      await setTimeout(1);
      seen.push(rollout.currentSubject());
      await setImmediate();
      seen.push(rollout.currentSubject());
      await new Promise<void>((resolve) => {
        process.nextTick(() => {
          seen.push(rollout.currentSubject());
          resolve();
        });
      });
    });
    expect(seen).toEqual(Array(5).fill('u1'));
    expect(rollout.currentSubject()).toBeUndefined();
  });

  it('is the innermost, also if that is nobody', async () => {
    await rollout.runAs('u1', async () => {
      await rollout.runAs('u2', async () => {
        expect(rollout.currentSubject()).toBe('u2');
        await rollout.runAs(undefined, async () => {
          await setTimeout(1);
          expect(rollout.currentSubject()).toBeUndefined();
        });
        expect(rollout.currentSubject()).toBe('u2');
      });
      expect(rollout.currentSubject()).toBe('u1');
    });
  });

  it('is that of the process: every Rollout sees it', () => {
    expect(rollout.runAs('u1', () => new Rollout().currentSubject())).toBe('u1');
  });

  it('ends with an error, too', () => {
    const failing = () =>
      rollout.runAs('u1', () => {
        throw new Error('failing');
      });
    expect(failing).toThrow('failing');
    expect(rollout.currentSubject()).toBeUndefined();
  });

  it('gives back what the function returns', () => {
    expect(rollout.runAs('u1', () => 42)).toBe(42);
  });

  it('is that of each request, where many overlap in an HTTP server', async () => {
    let most = 0;
    let open = 0;
    const server = createServer((request, response) => {
      const user = request.headers['x-user'] as string;
      rollout.runAs(user, async () => {
        most = Math.max(most, ++open);
        await setTimeout(Math.random() * 20);
        const first = await rollout.isEnabled('odd');
        await setTimeout(Math.random() * 20);
        const second = rollout.isEnabledSync('odd');
        open--;
        response.end(JSON.stringify([rollout.currentSubject(), first, second]));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const response = await fetch(`http://127.0.0.1:${port}/`, {
          headers: { 'x-user': `user-${n}` },
        });
        return response.json();
      }),
    );
    server.close();
    expect(most).toBeGreaterThan(10);
    expect(answers).toEqual(
      Array.from({ length: 200 }, (_, n) => [`user-${n}`, n % 2 === 1, n % 2 === 1]),
    );
  });
});
