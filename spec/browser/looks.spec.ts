import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { MemoryBackend } from '../../lib/backends/memory.js';
import { Rollout } from '../../lib/rollout.js';
import { useSite } from './site.js';

// That everybody can use the page, whatever is stored, and whatever they look at it with.

const given = useSite();

const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** What a name, or data, can be. */
const HOSTILE = [
  '<script>complain()</script>',
  '"><script>complain()</script>',
  "'><img src=x onerror=complain()>",
  '</title><script>complain()</script>',
  '</textarea><script>complain()</script>',
  '<!--',
  '{{7*7}}$' + '{7*7}',
  'javascript:complain()',
  '" onmouseover="complain()',
  '&lt;b&gt;&amp;',
  '../../etc/passwd',
  '..',
  '.',
  '%2e%2e%2f%00',
  '__proto__',
  'constructor',
  '\u202eright to left',
  'עברית شيء',
  'a/b?c=d#e&f',
  'x'.repeat(200),
] as const;

const SCHEMES = [['light'], ['dark']] as const;
const PHONE = { width: 320, height: 640 };

interface Finding {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe finds on the page, with every part of it opened. */
async function findingsOn(page: Page): Promise<string[]> {
  await page.locator('details').evaluateAll((all) => {
    for (const each of all) (each as unknown as { open: boolean }).open = true;
  });
  await page.evaluate(AXE);
  const violations = (await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)`,
  )) as Finding[];
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

/** Some of everything. */
async function fill(): Promise<void> {
  const { rollout } = given.site;
  const bea = rollout.as('bea');
  await bea.addFeature('base', { percentage: 100, data: { expiresAt: '2020-01-01' } });
  await bea.addFeature('chat', {
    percentage: 25,
    variants: [
      { name: 'old', weight: 2 },
      { name: 'new', weight: 1, value: { steps: [1, 2] } },
    ],
    defaultVariant: 'old',
    excluded: ['eve'],
    patterns: [/^beta-/],
    groups: ['staff'],
    requires: ['base'],
    rules: [
      { id: 'pro', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' },
      {
        id: 'apps',
        description: 'They crash',
        when: {
          all: [{ segment: 'country', in: ['DE'] }, { not: { users: ['1'] } }],
        },
        serve: {
          split: [
            ['old', 1],
            ['new', 1],
          ],
        },
        percentage: 50,
        from: '2026-01-01T00:00:00Z',
      },
    ],
    data: { description: 'A new chat', owner: 'support', tags: ['web', 'app'] },
  });
  await bea.register('chat', ['ann', 'bob']);
  await bea.overrideGroup('chat', 'friends', 'new');
  await bea.addFeature('ramped');
  await bea.ramp('ramped', { from: 5, over: '10d' });
  await bea.addFeature('button', { percentage: 100, variants: ['blue', 'green'] });
  await bea.addExperiment('colour', {
    from: new Date(Date.now() - 1_000),
    until: new Date(Date.now() + 1e9),
    arms: [
      { name: 'a', proportion: 0.9, features: { button: 'blue' } },
      { name: 'b', proportion: 0.1, features: { button: 'green' } },
    ],
  });
  for (let user = 0; user < 60; user++) await rollout.use('button', `user-${user}`);
  await bea.addFeature('gone', { percentage: 1 });
  await bea.remove('gone', { note: 'Nobody used it' });
  await bea.addFeature('off', { enabled: false, percentage: 3 });
}

/** Each page, as it is come to. */
const PAGES: readonly (readonly [title: string, come: (page: Page) => Promise<unknown>])[] = [
  ['the list', (page) => page.goto(given.site.url)],
  ['the list of nothing', (page) => page.goto(`${given.site.url}/?q=zzz`)],
  ['a feature', (page) => page.goto(given.site.feature('chat'))],
  ['a ramp', (page) => page.goto(given.site.feature('ramped'))],
  ['an experiment', (page) => page.goto(given.site.feature('button'))],
  ['what is off', (page) => page.goto(given.site.feature('off'))],
  ['what was removed', (page) => page.goto(given.site.feature('gone'))],
  ['what never was', (page) => page.goto(given.site.feature('never'))],
  ['the changes', (page) => page.goto(`${given.site.url}/changes`)],
  ['a history', (page) => page.goto(given.site.feature('chat').replace('?', '/history?'))],
  ['a new feature', (page) => page.goto(`${given.site.url}/add`)],
  [
    'a preview',
    async (page) => {
      await page.goto(given.site.feature('chat'));
      await page.locator('#percentage-percentage').fill('80');
      await page.getByRole('button', { name: 'Preview the change' }).click();
      await page.locator('.confirm').waitFor();
    },
  ],
  [
    'an explanation',
    async (page) => {
      await page.goto(given.site.feature('chat'));
      await page.locator('#why-subject').fill('ann');
      await page.getByRole('button', { name: 'Explain' }).click();
      await page.locator('.steps').waitFor();
    },
  ],
  [
    'a pattern',
    async (page) => {
      await page.goto(given.site.feature('chat'));
      await page.locator('#patterns summary').last().click();
      await page.locator('#pattern-source').fill('^b');
      await page.locator('#pattern-ids').fill('a\nb');
      await page.getByRole('button', { name: 'Try it' }).click();
      await page.locator('#outcome').waitFor();
    },
  ],
  [
    'a refusal',
    async (page) => {
      await page.goto(given.site.feature('chat'));
      await page.locator('#users summary').first().click();
      await page.getByRole('button', { name: 'Add these users' }).click();
      await page.locator('#error').waitFor();
    },
  ],
  [
    'what was saved',
    async (page) => {
      await page.goto(given.site.feature('chat'));
      await page.getByRole('button', { name: 'Turn off for everyone' }).click();
      await page.locator('#saved').waitFor();
    },
  ],
  ['the API', (page) => page.goto(`${given.site.url}/docs`)],
];

describe.each(SCHEMES)('in %s', (colorScheme) => {
  it('has nothing that axe finds, and fits a phone', async () => {
    await fill();
    const page = await given.site.person('ann', { colorScheme });
    for (const [title, come] of PAGES) {
      await page.setViewportSize({ width: 1_100, height: 800 });
      await come(page);
      expect([title, await findingsOn(page)]).toEqual([title, []]);
      await page.setViewportSize(PHONE);
      const width = await page.evaluate('document.documentElement.scrollWidth');
      expect([title, width]).toEqual([title, PHONE.width]);
    }
  }, 90_000);

  it('shows what can not be read, and leads out of it, without anything that axe finds', async () => {
    const backend = new MemoryBackend();
    const written = new Rollout(backend).as('bea');
    await written.addFeature('chat', { percentage: 20 });
    await written.setPercentage('chat', 40, { note: 'half of them' });
    await written.addFeature('fine', { percentage: 100 });
    await written.addToGroup('friends', ['ann']);
    const file = JSON.parse(backend.contents());
    file.features.chat.percentage = 'half';
    file.features['group\u001ffriends'].subjectKey = 7;
    const site = await given.site.on(JSON.stringify(file));
    try {
      const page = await site.person('ann', { colorScheme });
      const looked = async (title: string) => {
        const width = await page.evaluate('document.documentElement.scrollWidth');
        expect([title, await findingsOn(page), width]).toEqual([title, [], PHONE.width]);
      };
      await page.setViewportSize(PHONE);
      await looked('list');
      await page.getByRole('region', { name: '2 documents can not be read' }).waitFor();
      await page.getByRole('link', { name: 'chat' }).click();
      await page.getByRole('heading', { name: 'chat', level: 1 }).waitFor();
      await looked('feature');
      await page.getByRole('button', { name: 'Roll back to revision 2' }).click();
      await page.locator('#saved').waitFor();
      expect((await site.rollout.get('chat'))?.percentage).toBe(40);
      expect(site.complaints).toEqual([]);
    } finally {
      await site.close();
    }
  });

  it('asks for a token without anything that axe finds', async () => {
    const page = await given.site.visitor({ colorScheme, viewport: PHONE });
    await page.goto(given.site.url);
    expect(await findingsOn(page)).toEqual([]);
    await page.getByLabel('Token').fill('wrong');
    await page.getByRole('button').click();
    await page.getByRole('alert').waitFor();
    expect(await findingsOn(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(PHONE.width);
  });
});

describe('whatever is stored', () => {
  it('shows names and data as text in every place', async () => {
    const { site } = given;
    const { rollout } = site;
    const ids = HOSTILE.map((text) => `id ${text}`);
    for (const [at, name] of HOSTILE.entries()) {
      const note = `${name}\n<script>complain()</script>`;
      const by = rollout.as(name.slice(0, 100));
      await by.addFeature(
        name,
        {
          percentage: at,
          variants: [name, 'other'],
          groups: [name],
          excluded: ids,
          patterns: [{ source: '<b>"\'' }],
          data: {
            description: `${name}\n${name}`,
            owner: name,
            tags: [name],
            [`k${name}`]: [name],
          },
          rules: [
            {
              id: name,
              description: name,
              when: { attribute: name, op: 'equals', value: name },
              serve: { variant: name },
            },
          ],
        },
        { note },
      );
      await by.register(name, ids, { note });
      await by.overrideGroup(name, name.slice(0, 180), { variant: name }, { note });
    }
    await rollout.addExperiment(HOSTILE[0], {
      from: new Date(0),
      until: new Date(Date.now() + 1e9),
      arms: [{ name: HOSTILE[1], proportion: 1, features: { [HOSTILE[2]]: HOSTILE[2] } }],
    });
    const page = await site.person('ann', { viewport: PHONE });
    const scripts = () => page.locator('script').count();
    const shown = await page.locator('.features tbody th a').allTextContents();
    expect(shown.sort()).toEqual([...HOSTILE].sort());
    expect(await scripts()).toBe(1);
    for (const name of HOSTILE) {
      await page.goto(site.feature(name));
      expect(await page.locator('h1').textContent()).toBe(name);
      expect(await scripts()).toBe(1);
      expect(await page.locator('img, iframe, object, main style, main script').count()).toBe(0);
      expect(await page.locator('#users .ids').first().textContent()).toContain(name);
      expect(await page.locator('#history').textContent()).toContain(name);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(PHONE.width);
    }
    // And as what was typed.
    await page.goto(site.feature(HOSTILE[4]));
    await page.locator('#about summary', { hasText: 'Edit what is noted' }).click();
    await page.locator('#data-json').fill(`</textarea>${HOSTILE[0]}`);
    await page
      .locator('form', { has: page.locator('#data-json') })
      .getByRole('button', { name: 'Save' })
      .click();
    await page.getByRole('alert').waitFor();
    expect(await page.locator('#data-json').inputValue()).toBe(`</textarea>${HOSTILE[0]}`);
    await page.goto(`${site.url}/changes`);
    expect(await scripts()).toBe(1);
    await page.goto(`${site.url}/?q=${encodeURIComponent(HOSTILE[1])}`);
    expect(await page.getByLabel('Name').inputValue()).toBe(HOSTILE[1]);
  }, 60_000);
});

describe('while the page is open', () => {
  /** A page of a feature, which listens for its changes. */
  async function following(): Promise<Page> {
    const { site } = given;
    await site.rollout.addFeature('chat', { percentage: 10 });
    const page = await site.person('ann');
    const opened = page.waitForRequest(/\/events$/);
    await page.goto(site.feature('chat'));
    await opened;
    return page;
  }

  it('shows what another person has changed, where nobody is at work', async () => {
    const { site } = given;
    const page = await following();
    const bea = await site.person('bea', { javaScriptEnabled: false });
    await bea.goto(site.feature('chat'));
    await bea.getByRole('button', { name: 'Turn off for everyone' }).click();
    await page.getByText('bea changed this. The page shows it.').waitFor();
    expect(await page.locator('#top .state').textContent()).toBe('Off');
    // What came is in the forms too: they are not stale.
    await page.getByRole('button', { name: 'Turn on again' }).click();
    await page.locator('#saved').waitFor();
    expect((await site.rollout.get('chat'))?.enabled).toBe(true);
  });

  it('says that another person has changed it, where somebody is at work', async () => {
    const { site } = given;
    const page = await following();
    await page.locator('#switch-note').fill('Because');
    await site.rollout.as('bea').setPercentage('chat', 11);
    await page.getByText('bea changed this.').waitFor();
    expect(await page.locator('#switch-note').inputValue()).toBe('Because');
    expect(await page.locator('#percentage .figure').textContent()).toBe('10%');
    await page.getByRole('link', { name: 'Load the page again' }).click();
    await page.locator('#percentage .figure', { hasText: '11%' }).waitFor();
  });

  it('says in the list that something was changed, where it did not hear what', async () => {
    const { site } = given;
    const page = await site.person('ann');
    await page.route('**/events', (route) =>
      route.fulfill({ contentType: 'text/event-stream', body: 'event: missed\ndata: {}\n\n' }),
    );
    await page.goto(site.url);
    await page.getByText('Features were changed.').waitFor({ timeout: 10_000 });
  });

  it('shows what was changed while the connection was lost', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat', { percentage: 10 });
    const page = await site.person('ann');
    await page.route(/\/events$/, (route) => route.abort());
    const failed = page.waitForEvent('requestfailed');
    await page.goto(site.feature('chat'));
    await failed;
    await site.rollout.as('bea').setPercentage('chat', 11);
    await page.unroute(/\/events$/);
    await page.getByText('bea changed this. The page shows it.').waitFor({ timeout: 10_000 });
    site.complaints.length = 0;
  });

  it('says of no feature that it was removed, where one is signed out', async () => {
    const { site } = given;
    const page = await following();
    await page.waitForLoadState('networkidle');
    await page.context().clearCookies();
    const asked = page.waitForResponse(/\/sign-in/);
    await site.rollout.as('bea').setPercentage('chat', 11);
    await asked;
    await page.waitForTimeout(300);
    expect(await page.locator('#live').textContent()).toBe('');
  });

  it('shows who gains while the percentage is dragged', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat', { percentage: 10 });
    const page = await site.person('ann');
    await page.goto(site.feature('chat'));
    await page.getByLabel('Percentage, to drag').fill('90');
    expect(await page.locator('#percentage-percentage').inputValue()).toBe('90');
    await page
      .locator('#percentage [data-outcome]')
      .getByText(/^8,\d\d\d$/)
      .waitFor();
    expect((await site.rollout.get('chat'))?.percentage).toBe(10);
  });
});

describe('by keyboard alone', () => {
  const reach = async (page: Page, selector: string, key = 'Tab') => {
    for (let steps = 0; steps < 200; steps++) {
      await page.keyboard.press(key);
      if (await page.locator(`${selector}:focus`).count()) return;
    }
    throw new Error(`${selector} was not reached.`);
  };

  it('signs in, finds a feature, previews, saves and undoes', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat', { percentage: 10 });
    const page = await site.visitor();
    await page.goto(site.url);
    // The field gets the focus by itself, a moment after the page is there.
    await page.locator('input[name=secret]:focus').waitFor();
    await page.keyboard.type('the-token-of-ann,-who-steers-it-all');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${site.url}/`);
    await page.keyboard.press('Tab');
    expect(await page.locator(':focus').textContent()).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    await reach(page, 'input[name=q]');
    await page.keyboard.type('cha');
    await reach(page, '.features a');
    await page.keyboard.press('Enter');
    await page.waitForURL(/feature\?name=chat/);
    await reach(page, '#percentage-percentage');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('35');
    await page.keyboard.press('Enter');
    await page.locator('.confirm').waitFor();
    await reach(page, '#preview-note');
    await page.keyboard.type('Looks fine');
    await page.keyboard.press('Enter');
    await page.locator('#saved:focus').waitFor();
    expect((await site.rollout.get('chat'))?.percentage).toBe(35);
    await reach(page, '#saved button');
    await page.keyboard.press('Enter');
    await page.locator('#percentage .figure', { hasText: '10%' }).waitFor();
  });

  it('comes to what is wrong after a refusal', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat');
    const page = await site.person('ann');
    await page.goto(site.feature('chat'));
    await reach(page, '#percentage-percentage');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('much');
    await page.keyboard.press('Enter');
    await page.locator('#error:focus').waitFor();
    await reach(page, '#error a');
    await page.keyboard.press('Enter');
    await page.locator('#percentage-percentage:focus').waitFor();
  });
});
