import { type Browser, chromium } from 'playwright-core';
import { environmentOf, findProgram, type Wanted } from '../debian-program.js';

const CHROMIUM: Wanted = {
  variable: 'CHROMIUM',
  names: ['chromium', 'chromium-browser', 'google-chrome', 'chrome'],
  // Without windows: smaller, and it needs half of the libraries.
  packages: ['chromium-headless-shell'],
  path: 'usr/lib/chromium/chromium-headless-shell',
};

/** Starts one. Throws one sentence that says how to have one. */
export function launchChromium(): Promise<Browser> {
  const program = findProgram(CHROMIUM);
  if (program === undefined) {
    throw new Error(
      `No Chromium: set ${CHROMIUM.variable} to one, install one, or have apt-get and dpkg-deb here to fetch Debian's.`,
    );
  }
  return chromium.launch({
    executablePath: program.path,
    env: environmentOf(program),
    // The same pixels wherever it runs.
    args: ['--force-color-profile=srgb', '--font-render-hinting=none', '--disable-lcd-text'],
  });
}
