// A shop's features after two months of work: what the page and the command line have to show. The
// past is told by a clock that goes through it.
import { MemoryBackend, Rollout } from 'hanoi';

const DAY_MS = 24 * 60 * 60 * 1000;

/** A rollout on a backend in memory, as it is at `now` (Unix ms); from then on it goes with the clock. */
export async function filled(now = Date.now()) {
  let past = now - 70 * DAY_MS;
  const clock = () => (past < now ? past : Date.now());
  const backend = new MemoryBackend({ now: clock });
  const rollout = new Rollout(backend, { now: clock });
  const daysAgo = (days) => {
    past = now - days * DAY_MS;
  };
  const iso = (days) => new Date(now + days * DAY_MS).toISOString();
  const [ann, ben, chloe] = ['ann', 'ben', 'chloe'].map((actor) => rollout.as(actor));

  daysAgo(68);
  await ann.addFeature('dark-mode', { data: { owner: 'web', description: 'A dark theme' } });
  await ann.register('dark-mode', people(40), { note: 'staff first' });
  await ben.addToGroup('friends', people(120, 500), { note: 'who asked to try things early' });
  await ben.addToGroup('support', people(9, 900));

  daysAgo(62);
  await ann.setPercentage('dark-mode', 5);
  await ben.addFeature('search-ranking', {
    variants: [
      { name: 'classic', weight: 50, value: { model: 'bm25' } },
      { name: 'semantic', weight: 30, value: { model: 'e5-small' } },
      { name: 'hybrid', weight: 20, value: { model: 'rrf' } },
    ],
    data: { owner: 'search', description: 'How results are ordered' },
  });

  daysAgo(55);
  await ann.setPercentage('dark-mode', 25, { note: 'no complaints so far' });
  await ben.setPercentage('search-ranking', 10);
  await chloe.addFeature('holiday-banner', {
    percentage: 100,
    data: { owner: 'marketing', expiresAt: iso(-12), description: 'Free shipping until the 9th' },
  });

  daysAgo(44);
  await ann.activate('dark-mode', { note: 'for everyone' });
  await chloe.addFeature('new-editor', { data: { owner: 'content' } });
  await chloe.exclude('new-editor', ['user-13', 'user-66'], { note: 'asked to be left alone' });
  await chloe.register('new-editor', /@example\.com$/);
  await chloe.activateGroup('new-editor', 'friends');

  daysAgo(40);
  await ben.addFeature('old-import', { data: { owner: 'content', description: 'Nobody gets it' } });

  daysAgo(21);
  await ben.setPercentage('search-ranking', 60);
  await ann.addFeature('invoices', {
    subjectKey: 'accountId',
    percentage: 30,
    data: { owner: 'billing', description: 'By account, so that all of one get the same' },
  });
  await ann.register('invoices', ['acme', 'globex', 'initech']);

  daysAgo(16);
  await rollout.population.increaseBuckets(20);
  const accounts = Array.from({ length: 400 }, (_, n) => [`account-${n}`, 1 + ((n * 7) % 40)]);
  await rollout.population.register(accounts);
  await chloe.addFeature('seat-pricing', { bucketing: 'population', data: { owner: 'billing' } });
  await chloe.setPercentage('seat-pricing', 15, {
    note: 'a share of the seats, not of the accounts',
  });

  daysAgo(9);
  await ann.addFeature('checkout', {
    variants: ['short', 'long'],
    rules: [
      {
        id: 'old-apps',
        description: 'They can not show it',
        when: { not: { attribute: 'app', op: 'satisfies', value: '>=2.1' } },
        serve: 'off',
      },
      {
        id: 'north-america',
        when: {
          all: [
            { segment: 'country', in: ['US', 'CA'] },
            { attribute: 'plan', op: 'equals', value: 'pro' },
          ],
        },
        percentage: 50,
        serve: {
          split: [
            ['short', 90],
            ['long', 10],
          ],
        },
      },
    ],
    data: { owner: 'checkout', description: 'One page instead of three' },
  });
  await ann.ramp('checkout', { from: 0, to: 100, start: iso(-9), over: '21d' });
  await ben.addFeature('express', {
    percentage: 100,
    requires: [{ feature: 'checkout', variants: ['short'] }],
    data: { owner: 'checkout' },
  });

  daysAgo(7);
  await ben.addFeature('price-tag', { variants: ['plain', 'crossed-out', 'badge'] });
  await ben.addExperiment('price-tags', {
    from: iso(-7),
    until: iso(7),
    arms: [
      { name: 'control', proportion: 0.5, features: { 'price-tag': 'plain' } },
      { name: 'crossed', proportion: 0.25, features: { 'price-tag': 'crossed-out' } },
      { name: 'badge', proportion: 0.25, features: { 'price-tag': 'badge' } },
    ],
  });

  daysAgo(5);
  for (const id of people(600, 2_000)) await rollout.use('price-tag', id);
  await chloe.addFeature('chat', { percentage: 40, data: { owner: 'support' } });
  await chloe.register('chat', people(25, 100));

  daysAgo(0.4);
  await ben.disable('chat', { note: 'incident 412: messages come twice' });

  daysAgo(0.1);
  await ann.pauseRamp('checkout', { note: 'until incident 412 is over' });
  await ann.resumeRamp('checkout');

  past = now;
  return rollout;
}

function people(count, from = 0) {
  return Array.from({ length: count }, (_, n) => `user-${from + n}`);
}
