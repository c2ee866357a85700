import { type HanoiError, Rollout, type RuleSettings } from '../lib/index.js';

class Address {
  constructor(readonly country: string) {}
}
class User {
  constructor(
    readonly id: number,
    readonly address: Address,
  ) {}
}

const inUs: RuleSettings = { id: 'us', when: { segment: 'country', in: ['US'] }, serve: 'on' };
let rollout: Rollout;
let errors: HanoiError[];
beforeEach(async () => {
  rollout = new Rollout(undefined, { identify: (it) => (it as { id?: unknown }).id ?? 'someone' });
  errors = [];
  rollout.on('error', (error) => errors.push(error));
  await rollout.addFeature('chat', { rules: [inUs] });
});
afterEach(() => rollout.close());

const us = new Address('US');
const de = new Address('DE');

describe('a segment', () => {
  it('is asked of each kind of subject in its own way', async () => {
    rollout.defineSegment('country', (it: { land: string }) => it.land);
    rollout.defineSegment('country', (user: User) => user.address.country, {
      is: (it) => it instanceof User,
    });
    rollout.defineSegment('country', (address: Address) => address.country, {
      is: (it) => it instanceof Address,
    });
    for (const [subject, isIn] of [
      [new User(1, us), true],
      [new User(1, de), false],
      [us, true],
      [de, false],
      [{ land: 'US' }, true],
      [{ land: 'DE' }, false],
    ] as const) {
      expect(await rollout.isEnabled('chat', subject)).toBe(isIn);
      expect(rollout.isEnabledSync('chat', subject)).toBe(isIn);
    }
    expect(errors).toEqual([]);
  });

  it('can be defined anew', () => {
    rollout.defineSegment('country', () => 'DE');
    rollout.defineSegment('country', () => 'US');
    expect(rollout.isEnabledSync('chat', { id: 1 })).toBe(true);
  });

  it('falls back to the attribute of its name, where it is not defined or can not tell', () => {
    const remote = { id: 1, country: 'US' };
    expect(rollout.isEnabledSync('chat', remote)).toBe(true);
    rollout.defineSegment('country', (user: User) => user.address.country);
    expect(rollout.isEnabledSync('chat', remote)).toBe(true);
    expect(rollout.isEnabledSync('chat', new User(1, de))).toBe(false);
    rollout.defineSegment('country', () => undefined);
    expect(rollout.isEnabledSync('chat', remote)).toBe(true);
    expect(rollout.isEnabledSync('chat', { id: 1, country: 49 })).toBe(false);
    expect(errors).toEqual([]);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['gives a number', () => 1],
    ['gives a promise', () => Promise.reject(new Error('later'))],
  ])('that %s is unknown, and reported', async (_, of) => {
    rollout.defineSegment('country', of as () => string);
    await rollout.addFeature('kept', {
      percentage: 100,
      rules: [{ ...inUs, serve: 'off' }],
    });
    expect(rollout.isEnabledSync('chat', { id: 1 })).toBe(false);
    expect(rollout.isEnabledSync('kept', { id: 1 })).toBe(false);
    expect(errors.map(({ code }) => code)).toEqual(['SEGMENT_FAILED']);
  });

  it('of nobody defined is unknown, silently', () => {
    expect(rollout.isEnabledSync('chat', 1)).toBe(false);
    expect(errors).toEqual([]);
  });

  it.each<[string, unknown, object]>([
    ['', () => 'US', {}],
    ['country', 'US', {}],
    ['country', async () => 'US', {}],
    ['country', () => 'US', { is: true }],
    ['country', () => 'US', { options: [1] }],
    ['country', () => 'US', { option: ['US'] }],
  ])('is not defined by %p, %p, %p', (name, of, options) => {
    expect(() => rollout.defineSegment(name, of as () => string, options)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^INVALID_/) }),
    );
  });
});
