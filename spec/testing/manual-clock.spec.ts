import { MemoryBackend, Rollout } from '../../lib/index.js';
import { manualClock } from '../../lib/testing/index.js';

const START = Date.UTC(2026, 10, 30, 9);

it.each([
  ['ms', START],
  ['a Date', new Date(START)],
  ['ISO 8601 in UTC', '2026-11-30T09:00:00Z'],
  ['ISO 8601 in another zone', '2026-11-30T10:30:00+01:30'],
])('stands where it was set, by %s', (_, instant) => {
  expect(manualClock(instant).now()).toBe(START);
  const clock = manualClock(0);
  clock.set(instant);
  expect(clock.now()).toBe(START);
  clock.set(5);
  expect(clock.now()).toBe(5);
});

it.each([
  ['2d', 172_800_000],
  ['36h', 129_600_000],
  ['1d12h', 129_600_000],
  ['1.5s', 1_500],
  [1, 1],
])('goes on by %p', (by, ms) => {
  const clock = manualClock(START);
  clock.advance(by);
  clock.advance(by);
  expect(clock.now()).toBe(START + 2 * ms);
});

it('is the time of a Rollout and its backend', async () => {
  const { now, advance, set } = manualClock('2026-11-30T09:00:00Z');
  const rollout = new Rollout(new MemoryBackend({ now }), { now });
  await rollout.addFeature('search', { percentage: 0 });
  await rollout.ramp('search', { over: '10d' });
  const ids = Array.from({ length: 1000 }, (_, n) => `user-${n}`);
  const letIn = () => ids.filter((id) => rollout.isEnabledSync('search', id)).length;
  expect(letIn()).toBe(0);
  advance('5d');
  expect(letIn()).toBeGreaterThan(400);
  expect(letIn()).toBeLessThan(600);
  advance('5d');
  expect(letIn()).toBe(1000);
  set('2026-11-30T09:00:00Z');
  expect(letIn()).toBe(0);
  advance('1h');
  await rollout.disable('search');
  expect((await rollout.history('search')).map(({ at }) => at - START)).toEqual([3_600_000, 0, 0]);
});

it.each([
  [undefined],
  [Number.NaN],
  ['2026-11-30'],
  ['2026-11-30T09:00:00'],
  [new Date('none')],
  [{}],
])('refuses to stand at %p', (instant) => {
  const refusal = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
  expect(() => manualClock(instant as number)).toThrow(refusal);
  const clock = manualClock(START);
  expect(() => clock.set(instant as number)).toThrow(refusal);
  expect(clock.now()).toBe(START);
});

it.each([[undefined], [0], [-1], ['14 days-ish'], ['P1D'], ['']])('refuses to go by %p', (by) => {
  const clock = manualClock(START);
  expect(() => clock.advance(by as string)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
  );
  expect(clock.now()).toBe(START);
});
