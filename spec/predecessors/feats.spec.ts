import { Rollout, type SegmentTable } from '../../lib/index.js';
import fixture from '../fixtures/feats.json' with { type: 'json' };

class Address {
  constructor(
    readonly countryCode: string,
    readonly subdivisionCode: string,
  ) {}
}

class User {
  constructor(
    readonly id: number,
    readonly address: Address,
    readonly device: string,
  ) {}
}

const users = fixture.users.map(
  ({ id, country, subdivision, device }) => new User(id, new Address(country, subdivision), device),
);

type Processor = 'acme' | 'premium' | 'aperture';
type Features = { PaymentProcessor: Processor; ConfirmText: 'submit' | 'save'; Images: boolean };

/** A country's user, with a device. */
const of = (country: string, device = 'web', id = 1) =>
  new User(id, new Address(country, 'XX'), device);

const processors = (of: Rollout<Features>) =>
  of.implementations(
    'PaymentProcessor',
    {
      acme: (user: User) => `acme for ${user.id}`,
      premium: (user: User) => `premium for ${user.id}`,
      aperture: (user: User) => `aperture for ${user.id}`,
    },
    { default: 'acme' },
  );

let rollout: Rollout<Features>;
let processor: ReturnType<typeof processors>;
beforeEach(async () => {
  rollout = new Rollout<Features>();
  processor = processors(rollout);
  const ofAddress = (address: Address) => address.countryCode;
  rollout.defineSegment('Country', ofAddress, { is: (it) => it instanceof Address });
  rollout.defineSegment('Country', (user: User) => ofAddress(user.address));
  rollout.defineSegment(
    'Subdivision',
    ({ address }: User) => `${address.countryCode}-${address.subdivisionCode}`,
  );
  rollout.defineSegment('UserDevice', (user: User) => user.device, {
    options: ['ios', 'android'],
  });
  await rollout.addFeature('PaymentProcessor', { variants: ['acme', 'premium', 'aperture'] });
});
afterEach(() => rollout.close());

/** The implementation that production code gets, by its name. */
const processorOf = (user: User): Promise<Processor> => processor.find(user);

describe('the README of feats', () => {
  it('gives the default of a feature until another one is configured', async () => {
    await rollout.addFeature('ConfirmText', { variants: ['submit', 'save'] });
    expect(await rollout.value('ConfirmText', 'submit')).toBe('submit');
    await rollout.update('ConfirmText', {
      percentage: 100,
      variants: [{ name: 'submit', weight: 0 }, 'save'],
    });
    // It asks nothing of anybody, so it answers without a subject.
    expect(await rollout.value('ConfirmText', 'submit')).toBe('save');
    await rollout.update('ConfirmText', { percentage: 0 });
    expect(await rollout.value('ConfirmText', 'submit')).toBe('submit');
  });

  it('creates the chosen implementation, and has no way past that', async () => {
    expect(await processor.create(of('CA'))).toBe('acme for 1');
    await rollout.serveBySegment('PaymentProcessor', {
      segments: 'Country',
      rows: [['CA', { variant: 'premium' }]],
    });
    expect(await processor.create(of('CA'))).toBe('premium for 1');
    for (const name of ['acme', 'premium', 'aperture']) expect(name in processor).toBe(false);
  });

  it('keeps the priorities that a user has used first, whatever the weights become', async () => {
    const todo = new Rollout();
    const weighing = (...weights: [number, number, number]) => ({
      rules: [
        {
          id: 'priorities',
          when: { group: 'all' },
          sticky: true,
          serve: {
            split: ['no_priority', 'two_priorities', 'three_priorities'].map(
              (name, at) => [name, weights[at] as number] as const,
            ),
          },
        },
      ],
    });
    await todo.addFeature('AllowedPriorities', {
      variants: ['no_priority', 'two_priorities', 'three_priorities'],
      ...weighing(1, 0, 0),
    });
    const priorities = todo.implementations(
      'AllowedPriorities',
      {
        no_priority: (_: string): string[] => [],
        two_priorities: (_: string) => ['Important', 'Normal'],
        three_priorities: (_: string) => ['Important', 'Normal', 'Unimportant'],
      },
      { default: 'no_priority' },
    );
    expect(await priorities.find('ann')).toBe('no_priority');
    // To find one has marked nothing.
    await todo.update('AllowedPriorities', weighing(0, 0, 1));
    expect(await priorities.find('ann')).toBe('three_priorities');
    await priorities.used('two_priorities', 'ann');
    expect(await priorities.create('bob')).toHaveLength(3);
    await todo.update('AllowedPriorities', weighing(1, 0, 0));
    expect(await priorities.create('ann')).toEqual(['Important', 'Normal']);
    expect(await priorities.create('bob')).toHaveLength(3);
    expect(await priorities.create('cid')).toEqual([]);
    await todo.close();
  });

  it('turns something off, and on again', async () => {
    await rollout.addFeature('Images', { percentage: 100 });
    expect(await rollout.isEnabled('Images')).toBe(true);
    await rollout.disable('Images');
    expect(await rollout.isEnabled('Images')).toBe(false);
    await rollout.enable('Images');
    expect(await rollout.isEnabled('Images')).toBe(true);
  });

  it('segments each kind of object by its own function', async () => {
    // What is asked about has an id, addresses too.
    const byAddress = new Rollout<Features>(undefined, {
      identify: (it: User | Address) => (it instanceof Address ? it.subdivisionCode : it.id),
    });
    byAddress.defineSegment('Country', (address: Address) => address.countryCode, {
      is: (it) => it instanceof Address,
    });
    byAddress.defineSegment('Country', (user: User) => user.address.countryCode);
    await byAddress.addFeature('PaymentProcessor', { variants: ['acme', 'premium', 'aperture'] });
    await byAddress.serveBySegment('PaymentProcessor', {
      segments: 'Country',
      rows: [['CA', { variant: 'premium' }]],
    });
    const answers = [of('CA'), new Address('CA', 'BC'), of('US'), new Address('US', 'WA')].map(
      (subject) => byAddress.decideSync('PaymentProcessor', subject).variant,
    );
    expect(answers).toEqual(['premium', 'premium', undefined, undefined]);
    await byAddress.close();
  });

  it('selects from the options of a segment, and from no others', async () => {
    const byDevice = (device: string): SegmentTable<Processor> => ({
      segments: 'UserDevice',
      rows: [[device, { variant: 'premium' }]],
    });
    await rollout.serveBySegment('PaymentProcessor', byDevice('ios'));
    await expect(rollout.serveBySegment('PaymentProcessor', byDevice('web'))).rejects.toMatchObject(
      { code: 'INVALID_FEATURE', path: 'rules[0].when.all[0].in[0]' },
    );
    expect(await processorOf(of('US', 'ios'))).toBe('premium');
    expect(await processorOf(of('US', 'web'))).toBe('acme');
  });

  it('operates: moves Canada to another processor, and back', async () => {
    expect(await processorOf(of('CA'))).toBe('acme');
    await rollout.serveBySegment(
      'PaymentProcessor',
      { segments: 'Country', rows: [['CA', { variant: 'premium' }]] },
      { actor: 'alice', note: 'Acme fails in Canada' },
    );
    expect(await processorOf(of('CA'))).toBe('premium');
    expect(await processorOf(of('US'))).toBe('acme');
    const [last, first] = await rollout.history('PaymentProcessor');
    expect(last).toMatchObject({ actor: 'alice', note: 'Acme fails in Canada' });
    await rollout.rollback('PaymentProcessor', `${first?.id}`, { actor: 'bob' });
    expect(await processorOf(of('CA'))).toBe('acme');
    expect((await rollout.history('PaymentProcessor'))[0]).toMatchObject({ actor: 'bob' });
  });

  it('rolls out: 5% of the users of a country, then more, and drops none of them', async () => {
    const american = Array.from({ length: 20_000 }, (_, n) => of('US', 'web', n + 1));
    const serveAmerica = (percent: number) =>
      rollout.update('PaymentProcessor', {
        rules: [
          {
            id: 'america',
            when: { segment: 'Country', in: ['US'] },
            percentage: percent,
            serve: { variant: 'aperture' },
          },
        ],
      });
    const onAperture = () =>
      american.filter(
        (user) => rollout.decideSync('PaymentProcessor', user).variant === 'aperture',
      );
    await serveAmerica(5);
    const first = onAperture();
    // 20,000 × 5%, within five standard deviations.
    expect(Math.abs(first.length - 1_000)).toBeLessThan(155);
    expect(await processorOf(of('CA'))).toBe('acme');
    await serveAmerica(50);
    const more = new Set(onAperture());
    expect(Math.abs(more.size - 10_000)).toBeLessThan(354);
    expect(first.filter((user) => !more.has(user))).toEqual([]);
  });
});

describe('what the real feats answered', () => {
  const [all, otherwise] = [{ group: 'all' }, { variant: 'acme' }] as const;

  // Its states as one writes them here. Those with its Rollout choose by a hash of their own.
  const tables: { [what: string]: SegmentTable<Processor> } = {
    'premium in Canada': { segments: 'Country', rows: [['CA', { variant: 'premium' }]], otherwise },
    'back to before': { segments: 'Country', rows: [], otherwise },
    'by country and device': {
      segments: ['Country', 'UserDevice'],
      rows: [
        [['US', 'ios'], { variant: 'aperture' }],
        [['US', 'android'], { variant: 'premium' }],
        [['CA', 'ios'], { variant: 'premium' }],
        [['DE', 'android'], { variant: 'aperture' }],
      ],
      otherwise,
    },
    'by subdivision': {
      segments: 'Subdivision',
      rows: [
        ['US-WA', { variant: 'aperture' }],
        ['CA-BC', { variant: 'premium' }],
      ],
      otherwise,
    },
    'without a fall-through': {
      segments: 'Country',
      rows: [
        ['CA', { variant: 'premium' }],
        ['US', { variant: 'aperture' }],
      ],
    },
  };

  const recorded = (what: string) => {
    const found = fixture.cases.find((each) => each.what === what);
    if (found === undefined) throw new Error(`Nothing is recorded of ${what}.`);
    // `!` is where feats raises: no row matches, and there is no fall-through.
    return Array.from(found.answers, (index) => found.implementations[Number(index)] ?? 'raised');
  };
  const answered = () =>
    users.map((user) => rollout.decideSync('PaymentProcessor', user).variant ?? 'raised');

  it.each(Object.entries(tables))('is answered here too: %s', async (what, table) => {
    await rollout.serveBySegment('PaymentProcessor', table);
    expect(answered()).toEqual(recorded(what));
    // Nobody is left without an implementation here.
    const found = await Promise.all(users.map((user) => processor.find(user)));
    expect(found).toEqual(recorded(what).map((name) => (name === 'raised' ? 'acme' : name)));
  });

  it.each(fixture.cases.filter(({ feature }) => feature === 'DarkMode'))(
    'is answered by a boolean feature too: $what',
    async ({ what, answers, implementations }) => {
      const modes = new Rollout();
      modes.defineSegment('Country', (user: User) => user.address.countryCode);
      const dark = modes.booleanFeature('DarkMode', (user: User) => user.device === 'ios');
      if (what !== 'nothing configured') {
        await modes.addFeature('DarkMode');
        await modes.serveBySegment('DarkMode', {
          segments: 'Country',
          rows: [
            ['CA', 'on'],
            ['US', 'off'],
          ],
        });
      }
      for (const [at, user] of users.entries()) {
        const which = implementations[Number(answers[at])];
        const isDark = which === 'Default' ? user.device === 'ios' : which === 'Enabled';
        expect([user.id, await dark.isEnabled(user)]).toEqual([user.id, isDark]);
      }
      await modes.close();
    },
  );

  it('is answered for everyone alike where it has no segments', async () => {
    await rollout.update('PaymentProcessor', {
      rules: [{ id: 'everyone', when: all, serve: { variant: 'premium' } }],
    });
    expect(answered()).toEqual(recorded('no segments'));
  });

  it.each([
    ['5% of the US', 95, 5],
    ['a half of the US', 1, 1],
  ])(
    'is answered for the rest of the users under a Rollout, which deals its own anew: %s',
    async (what, acme, aperture) => {
      await rollout.serveBySegment('PaymentProcessor', {
        segments: 'Country',
        rows: [
          [
            'US',
            {
              split: [
                ['acme', acme],
                ['aperture', aperture],
              ],
            },
          ],
        ],
        otherwise,
      });
      const [here, there] = [answered(), recorded(what)];
      const others = (answers: string[]) =>
        answers.filter((_, at) => users[at]?.address.countryCode !== 'US');
      expect(others(here)).toEqual(others(there));
      expect(here).not.toEqual(there);
      expect(new Set(here)).toEqual(new Set(there));
    },
  );

  const shares = fixture.shares.map(({ weights, of_100000 }) => ({
    split: weights as [string, number][],
    there: of_100000 as Record<string, number>,
    title: weights.map(([name, weight]) => `${name} ${weight}`).join(', '),
  }));

  it.each(shares)('is kept to its weights here: $title', async ({ split, there }) => {
    const splitting = new Rollout();
    await splitting.addFeature('split', {
      variants: split.map(([name]) => name),
      rules: [{ id: 'split', when: all, serve: { split } }],
    });
    const here = new Map<string, number>();
    for (let id = 1; id <= 100_000; id++) {
      const { variant = 'none' } = splitting.decideSync('split', id);
      here.set(variant, (here.get(variant) ?? 0) + 1);
    }
    const total = split.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of split) {
      const due = (100_000 * weight) / total;
      // Five standard deviations of chance; the bytes that feats takes modulo the total are outside.
      const chance = 5 * Math.sqrt(due * (1 - weight / total));
      expect(Math.abs((here.get(name) ?? 0) - due)).toBeLessThan(chance);
      const isBiased = 256 % total !== 0;
      expect(Math.abs((there[name] as number) - due) > chance).toBe(isBiased);
    }
    await splitting.close();
  });
});
