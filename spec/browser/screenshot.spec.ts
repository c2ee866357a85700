import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { launchChromium } from './chromium.js';

// `npm run screenshot` makes the README's picture anew: of the demo's features, by a clock that stands
// still.

const root = join(__dirname, '../..');

const SERVER = `
const now = Date.parse('2026-11-20T14:00:00Z');
Date.now = () => now;
const { filled } = await import('./demo/filled.js');
const { serve } = await import('hanoi/http');
const rollout = await filled(now);
console.log(JSON.stringify(await serve(rollout, { mode: 'admin', port: 0 })));
`;

it('takes a picture of the list for the README', async () => {
  execFileSync(process.execPath, [join(root, 'build.js')]);
  const server = spawn(process.execPath, ['--input-type=module', '-e', SERVER], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const browser = await launchChromium();
  try {
    const line = await new Promise<string>((resolve) => {
      server.stdout.once('data', (data: Buffer) => resolve(String(data)));
    });
    const { url, token } = JSON.parse(line) as { url: string; token: string };
    const page = await browser.newPage({
      colorScheme: 'light',
      viewport: { width: 1_080, height: 720 },
    });
    await page.goto(url);
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('#found a').waitFor();
    await page.evaluate('document.activeElement.blur()');
    await page.screenshot({ path: join(root, 'docs/screenshot.png') });
  } finally {
    await browser.close();
    server.kill();
  }
}, 120_000);
