import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { until } from '../until.js';
import { TOKENS, useSite } from './site.js';

// What an operator does on the page, with its script and without.

const given = useSite();

const MODES = [
  ['with script', { javaScriptEnabled: true }],
  ['without script', { javaScriptEnabled: false }],
] as const;

const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name });

async function open(page: Page, part: string, summary: string): Promise<void> {
  await page.locator(`#${part} summary`, { hasText: summary }).click();
}

describe.each(MODES)('%s', (_, options) => {
  it('signs in with a token, which shows nowhere, and out', async () => {
    const { site } = given;
    const page = await site.visitor(options);
    const urls: string[] = [];
    page.on('request', (request) => urls.push(request.url()));
    await page.goto(site.feature('chat'));
    expect(new URL(page.url()).pathname).toBe('/sign-in');
    await page.getByLabel('Token').fill(`no ${TOKENS.ann}`);
    await button(page, 'Sign in').click();
    await page.getByRole('alert').getByText('This token is not known here.').waitFor();
    expect(await page.content()).not.toContain(TOKENS.ann);
    await page.getByLabel('Token').fill(TOKENS.ann);
    await button(page, 'Sign in').click();
    // Back to what was asked for: there is no such feature yet.
    await page.getByText('There is no feature of this name.').waitFor();
    expect(await page.content()).not.toContain(TOKENS.ann);
    const cookies = await page.context().cookies();
    expect(cookies.map(({ name }) => name).sort()).toEqual(['hanoi_form', 'hanoi_session']);
    for (const { httpOnly, sameSite, value } of cookies) {
      expect([httpOnly, sameSite]).toEqual([true, 'Strict']);
      expect(value).not.toContain(TOKENS.ann);
    }
    await button(page, 'Sign out').click();
    await page.getByLabel('Token').waitFor();
    await page.goto(site.url);
    expect(new URL(page.url()).pathname).toBe('/sign-in');
    expect(urls.filter((url) => url.includes('token-of'))).toEqual([]);
  });

  it('stays signed in, and keeps the forms of other pages, by a link of another site', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat');
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    const linking = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(`<link rel="icon" href="data:,"><a href="${site.feature('chat')}">chat</a>`);
    });
    await new Promise<void>((resolve) => linking.listen(0, '127.0.0.1', resolve));
    try {
      const other = await page.context().newPage();
      await other.goto(`http://localhost:${(linking.address() as AddressInfo).port}`);
      await other.getByRole('link').click();
      await other.getByRole('heading', { name: 'chat' }).waitFor();
      expect(other.url()).toBe(site.feature('chat'));
      await button(page, 'Turn off for everyone').click();
      await page.locator('#saved').waitFor();
      await other.reload();
      await button(other, 'Turn on again').click();
      await other.locator('#saved').waitFor();
    } finally {
      await new Promise((resolve) => {
        linking.close(resolve);
        linking.closeAllConnections();
      });
    }
  });

  it('narrows the list by name, state and tag', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('checkout', { percentage: 100, data: { tags: ['shop'] } });
    await rollout.addFeature('chat', { percentage: 20, data: { owner: 'support' } });
    await rollout.addFeature('cart', { enabled: false });
    const page = await site.person('ann', options);
    const names = () => page.locator('.features tbody th a').allTextContents();
    expect(await names()).toEqual(['cart', 'chat', 'checkout']);
    const narrowed = async (expected: string[]) => {
      if (!options.javaScriptEnabled) await button(page, 'Filter').click();
      await until(async () => JSON.stringify(await names()) === JSON.stringify(expected));
    };
    await page.getByLabel('Name').fill('CH');
    await narrowed(['chat', 'checkout']);
    await page.getByLabel('Tag or owner').selectOption('owner:support');
    await narrowed(['chat']);
    await page.getByLabel('Tag or owner').selectOption('');
    await page.getByLabel('Who gets it').selectOption('everyone');
    await narrowed(['checkout']);
  });

  it('turns a feature off, says why, and undoes it', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.as('bea').addFeature('chat', { percentage: 50 });
    const page = await site.person('ann', options);
    await page.getByRole('link', { name: 'chat' }).click();
    await page.locator('#switch-note').fill('Errors since 03:10');
    await button(page, 'Turn off for everyone').click();
    await page.locator('#saved').getByText('Errors since 03:10').waitFor();
    expect((await rollout.get('chat'))?.enabled).toBe(false);
    const [change] = await rollout.history('chat');
    expect([change?.actor, change?.note]).toEqual(['ann', 'Errors since 03:10']);
    await page.locator('#saved').getByRole('button', { name: 'Undo' }).click();
    await page.locator('#top .state', { hasText: 'On' }).waitFor();
    expect((await rollout.get('chat'))?.enabled).toBe(true);
  });

  it('shows who gains by another percentage before it is saved', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat', { percentage: 25 });
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await page.locator('#percentage-percentage').fill('60');
    await button(page, 'Preview the change').click();
    await page.getByRole('heading', { name: 'who gains, who loses?' }).waitFor();
    const gain = page.getByRole('row', { name: /Gain it/ });
    expect(await gain.textContent()).toMatch(/3,[3-7]\d\d/);
    expect(await page.getByRole('row', { name: /Lose it/ }).textContent()).toMatch(/0\s*0%/);
    expect((await rollout.get('chat'))?.percentage).toBe(25);
    // Over ids of one's own.
    await page.getByLabel('Preview over').selectOption('ids');
    await page.getByText('Ids of your own').last().click();
    await page.getByLabel('Ids, one a line').fill('1\n3\n{ "id": "5" }');
    await button(page, 'Preview again').click();
    await page.getByText('Of the 3 subjects that you gave.').waitFor();
    await page.getByLabel('Why (for the history)').fill('No errors');
    await button(page, 'Save 60%').click();
    await page.locator('#saved').getByText('No errors').waitFor();
    expect((await rollout.get('chat'))?.percentage).toBe(60);
  });

  it('refuses what is no percentage, at the field, and keeps it', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat');
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await page.locator('#percentage-percentage').fill('140');
    await button(page, 'Preview the change').click();
    const alert = page.getByRole('alert');
    await alert.getByRole('link').click();
    const field = page.locator('#percentage-percentage');
    expect(await field.inputValue()).toBe('140');
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    const described = await field.getAttribute('aria-describedby');
    expect(await page.locator(`#${described}`).textContent()).toContain('from 0 to 100');
  });

  it('starts a ramp, pauses, resumes, rewinds and jumps', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat', { percentage: 10 });
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await open(page, 'percentage', 'a ramp');
    await page.getByLabel('Over', { exact: true }).fill('10d');
    await button(page, 'Start the ramp').click();
    await page.getByRole('img', { name: /^Ramp from 10%/ }).waitFor();
    const ramp = async () => (await rollout.get('chat'))?.percentage as { pausedAt?: string };
    await button(page, 'Pause').click();
    await page
      .getByText(/paused at 10/)
      .first()
      .waitFor();
    expect((await ramp()).pausedAt).toBeDefined();
    await button(page, 'Resume').click();
    await page
      .getByText(/now 10/)
      .first()
      .waitFor();
    expect((await ramp()).pausedAt).toBeUndefined();
    await page.getByLabel('Jump to').fill('55');
    await button(page, 'Jump').click();
    await page
      .getByText(/now 55/)
      .first()
      .waitFor();
    await page.getByLabel('Rewind by').fill('1d');
    await button(page, 'Rewind').click();
    await page
      .getByText(/now 46/)
      .first()
      .waitFor();
  });

  it('lets users in and out, keeps some out, and looks one up', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat');
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await open(page, 'users', 'Add or remove users');
    await page.locator('#members-ids').fill('ann\nbob\n\n cid \n');
    await button(page, 'Add these users').click();
    await page.getByText('3 users are let in by name').waitFor();
    await open(page, 'users', 'Add or remove users');
    await page.locator('#members-ids').fill('bob');
    await button(page, 'Remove these users').click();
    await page.getByText('2 users are let in by name').waitFor();
    await open(page, 'users', 'Exclude users');
    await page.locator('#excluded-ids').fill('cid');
    await button(page, 'Exclude these').click();
    await page.getByText('1 user is kept out').waitFor();
    expect((await rollout.get('chat'))?.excluded).toEqual(['cid']);
    await page.getByLabel('Look up a user').fill('cid');
    await button(page, 'Look up').click();
    await page.getByText('It is let in by name, and it is excluded.').waitFor();
    await button(page, 'No longer exclude it').click();
    await page.locator('#saved').waitFor();
    expect(await rollout.isEnabled('chat', 'cid')).toBe(true);
  });

  it('tries a pattern by the engine of the checks, and adds it', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat');
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await open(page, 'patterns', 'Try or add a pattern');
    // It would hold another engine for minutes.
    await page.locator('#pattern-source').fill('^(a+)+$');
    await page.locator('#pattern-ids').fill(`aaa\n${'a'.repeat(60)}b`);
    if (options.javaScriptEnabled) {
      await page.locator('[data-outcome] .yes', { hasText: 'aaa' }).waitFor();
      await page.locator('[data-outcome] .no').waitFor();
    }
    await button(page, 'Try it').click();
    await page.getByText('does not match').waitFor();
    expect(await page.locator('.yes').textContent()).toContain('aaa');
    await page.locator('#pattern-source').fill('(?=a)b');
    await button(page, 'Add the pattern').click();
    await page
      .getByRole('alert')
      .getByText(/linear time/)
      .waitFor();
    await page.locator('#pattern-source').fill('^beta-');
    await button(page, 'Add the pattern').click();
    await page.locator('#patterns code', { hasText: '/^beta-/' }).waitFor();
    expect(await rollout.isEnabled('chat', 'beta-1')).toBe(true);
    await page.locator('#patterns summary', { hasText: 'Remove' }).click();
    await page.locator('#pattern-0-note').fill('Not any more');
    await button(page, 'Remove the pattern').click();
    await page.locator('#saved').waitFor();
    expect((await rollout.get('chat'))?.patterns).toEqual([]);
  });

  it('adds, mends, orders and removes rules', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat');
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await open(page, 'rules', 'Add a rule');
    const rule = (id: string, op: string) =>
      JSON.stringify({ id, when: { attribute: 'plan', op, value: 'pro' }, serve: 'on' });
    await page.locator('#rule-new-json').fill('{ "id": ');
    await button(page, 'Add the rule').click();
    await page
      .getByRole('alert')
      .getByText(/not JSON/)
      .waitFor();
    await page.locator('#rule-json').fill(rule('pro', 'is'));
    await button(page, 'Add the rule').click();
    await page
      .getByRole('alert')
      .getByText(/rules\[0\]\.when/)
      .waitFor();
    expect(await page.locator('#rule-json').getAttribute('aria-invalid')).toBe('true');
    expect(await page.locator('#rule-json').inputValue()).toBe(rule('pro', 'is'));
    await page.locator('#rule-json').fill(rule('pro', 'equals'));
    await button(page, 'Add the rule').click();
    await page.locator('#rules').getByText('plan is "pro"').first().waitFor();
    await open(page, 'rules', 'Add a rule');
    await page.locator('#rule-new-json').fill(rule('con', 'contains'));
    await button(page, 'Add the rule').click();
    await page.locator('#saved').waitFor();
    const ids = async () => (await rollout.get('chat'))?.rules.map(({ id }) => id);
    expect(await ids()).toEqual(['pro', 'con']);
    await page.locator('#rules summary', { hasText: 'Edit the rule con' }).click();
    await button(page, 'Move up').click();
    await page.locator('#saved').waitFor();
    expect(await ids()).toEqual(['con', 'pro']);
    await page.locator('#rules summary', { hasText: 'Edit the rule pro' }).click();
    await page.locator('#rule-1-json').fill(rule('pro', 'startsWith'));
    await button(page, 'Save the rule').click();
    await page.getByText('plan starts with "pro"').first().waitFor();
    await page.locator('#rules summary', { hasText: 'Edit the rule con' }).click();
    await page.locator('#rule-0-note').fill('Too wide');
    await page
      .locator('#rules li')
      .first()
      .getByRole('button', { name: 'Remove the rule' })
      .click();
    await page.locator('#saved').waitFor();
    expect(await ids()).toEqual(['pro']);
    expect((await rollout.history('chat'))[0]?.note).toBe('Too wide');
  });

  it('edits groups, overrides, variants, what is required, and what is noted', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat');
    await rollout.addFeature('base', { percentage: 100 });
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await open(page, 'variants', 'Edit the variants');
    await page.locator('#variants-name0').fill('old');
    await page.locator('#variants-weight0').fill('3');
    await page.locator('#variants-name1').fill('new');
    await page.locator('#variants-weight1').fill('x');
    await page.locator('#variants-value1').fill('{"steps": 1}');
    await button(page, 'Save the variants').click();
    await page
      .getByRole('alert')
      .getByText(/Expected a number/)
      .waitFor();
    expect(await page.locator('#variants-weight1').getAttribute('aria-invalid')).toBe('true');
    await page.locator('#variants-weight1').fill('1');
    await button(page, 'Save the variants').click();
    await page.getByRole('row', { name: /new 25% 1/ }).waitFor();
    await open(page, 'groups', 'Let in a group');
    await page.locator('#groups-group').fill('staff');
    await button(page, 'Let the group in').click();
    await page.locator('#groups li', { hasText: 'staff' }).waitFor();
    await open(page, 'groups', 'Override for a group');
    await page.locator('#override-group').fill('friends');
    await page.locator('#override-serve').selectOption('variant:new');
    await button(page, 'Override').click();
    await page.locator('#groups .rules', { hasText: 'friends' }).waitFor();
    await open(page, 'about', 'Edit what it requires');
    await page.locator('#requires-json').fill('["base"]');
    await page
      .locator('#about form', { has: page.locator('#requires-json') })
      .getByRole('button', { name: 'Save' })
      .click();
    await page.locator('#about').getByRole('link', { name: 'base' }).waitFor();
    await open(page, 'about', 'Edit what is noted');
    await page.locator('#data-json').fill('{"owner": "support"}');
    await page
      .locator('#about form', { has: page.locator('#data-json') })
      .getByRole('button', { name: 'Save' })
      .click();
    await page.locator('.facts', { hasText: 'support' }).waitFor();
    await open(page, 'percentage', 'How users are dealt');
    await page.locator('#dealing-bucketing').selectOption('independent');
    await page.locator('#dealing-subjectKey').fill('accountId');
    await page
      .locator('#percentage form', { has: page.locator('#dealing-bucketing') })
      .getByRole('button', { name: 'Save' })
      .click();
    await page.getByText('by the attribute accountId').waitFor();
    expect(await rollout.get('chat')).toMatchObject({
      variants: [
        { name: 'old', weight: 3 },
        { name: 'new', weight: 1, value: { steps: 1 } },
      ],
      groups: ['staff'],
      rules: [{ id: 'override/friends', serve: { variant: 'new' } }],
      requires: [{ feature: 'base' }],
      data: { owner: 'support' },
      bucketing: 'independent',
      subjectKey: 'accountId',
    });
  });

  it('adds a feature, removes it, and brings it back with its users', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('taken');
    const page = await site.person('ann', options);
    await page.getByRole('link', { name: 'Add a feature' }).click();
    await page.locator('#add-name').fill('taken');
    await page.locator('#add-description').fill('For everyone soon');
    await button(page, 'Add it').click();
    await page
      .getByRole('alert')
      .getByText(/exists already/)
      .waitFor();
    expect(await page.locator('#add-description').inputValue()).toBe('For everyone soon');
    await page.locator('#add-name').fill('chat/new');
    await page.locator('#add-percentage').fill('12.5');
    await button(page, 'Add it').click();
    await page.getByRole('heading', { name: 'chat/new' }).waitFor();
    await rollout.register('chat/new', 'bob');
    await page.reload();
    await open(page, 'about', 'Remove the feature');
    await page.locator('#remove-typed').fill('chat');
    await button(page, 'Remove the feature').click();
    await page
      .getByRole('alert')
      .getByText(/Expected the name/)
      .waitFor();
    await page.locator('#remove-typed').fill('chat/new');
    await button(page, 'Remove the feature').click();
    await page.getByText('was removed.').waitFor();
    expect(await rollout.get('chat/new')).toBeUndefined();
    await page.getByRole('link', { name: 'bring it back' }).click();
    await button(page, 'Bring it back').click();
    await page.getByRole('heading', { name: 'chat/new' }).waitFor();
    expect(await rollout.isEnabled('chat/new', 'bob')).toBe(true);
  });

  it('rolls back to a change of before', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat', { percentage: 5 });
    await rollout.setPercentage('chat', 20);
    await rollout.setPercentage('chat', 70);
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    const second = page.locator('.changes > li').nth(1);
    expect(await second.locator('.diff').textContent()).toMatch(/percentage before: 5 → after: 20/);
    await second.locator('summary').click();
    await second.getByRole('button', { name: 'Roll back to here' }).click();
    await page.locator('#saved').waitFor();
    expect((await rollout.get('chat'))?.percentage).toBe(20);
  });

  it('explains why a feature is on for a subject', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat', {
      rules: [{ id: 'pro', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' }],
    });
    const page = await site.person('rob', options);
    await page.goto(site.feature('chat'));
    await page.locator('#why-subject').fill('{"id": "42", "plan": "pro"}');
    await button(page, 'Explain').click();
    await page.getByRole('heading', { name: /^On for/ }).waitFor();
    expect(await page.locator('.step-answers').textContent()).toMatch(
      /rule pro.*plan is "pro": yes/s,
    );
    // Who is asked about stays out of the address.
    expect(new URL(page.url()).search).toBe('?name=chat');
  });

  it('refuses a stale form, shows what has changed, and keeps what was typed', async () => {
    const { site } = given;
    const { rollout } = site;
    await rollout.addFeature('chat', { data: { owner: 'x' } });
    const page = await site.person('ann', options);
    await page.goto(site.feature('chat'));
    await open(page, 'about', 'Edit what is noted');
    await page.locator('#data-json').fill('{"owner": "support"}');
    await rollout.as('bea').setPercentage('chat', 33, { note: 'Half of a half' });
    const save = () =>
      page
        .locator('form', { has: page.locator('#data-json') })
        .getByRole('button', { name: 'Save' })
        .click();
    await save();
    await page
      .getByRole('alert')
      .getByText(/changed since you looked/)
      .waitFor();
    expect(await page.locator('.changes').textContent()).toMatch(/bea.*Half of a half.*33/s);
    expect(await page.locator('#data-json').inputValue()).toBe('{"owner": "support"}');
    expect((await rollout.get('chat'))?.data).toEqual({ owner: 'x' });
    await save();
    await page.locator('#saved').waitFor();
    expect(await rollout.get('chat')).toMatchObject({ percentage: 33, data: { owner: 'support' } });
  });

  it('shows those who only read all of it, and no way to change it', async () => {
    const { site } = given;
    await site.rollout.addFeature('chat', {
      percentage: 20,
      patterns: [/^a/],
      variants: ['x', 'y'],
    });
    const page = await site.person('rob', options);
    expect(await page.getByRole('link', { name: 'Add a feature' }).count()).toBe(0);
    await page.goto(site.feature('chat'));
    const writing = await page
      .locator('form[method=post]')
      .evaluateAll((forms) =>
        forms.map((form) => new URL((form as unknown as { action: string }).action).pathname),
      );
    expect([...new Set(writing)].sort()).toEqual([
      '/feature/preview',
      '/feature/try',
      '/feature/why',
      '/sign-out',
    ]);
    await page.locator('#percentage-percentage').fill('60');
    await button(page, 'Preview the change').click();
    await page.getByRole('row', { name: /Gain it/ }).waitFor();
    expect(await button(page, /Save/).count()).toBe(0);
  });
});
