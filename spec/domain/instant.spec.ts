import fc from 'fast-check';
import { instantOf, parseInstant } from '../../lib/domain/instant.js';

describe('an instant', () => {
  it('is the one that Date reads, whatever the zone', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-30'), noInvalidDate: true }),
        fc.integer({ min: -14 * 60, max: 14 * 60 }),
        (date, minutes) => {
          expect(instantOf(date)).toBe(date.getTime());
          expect(instantOf(date.getTime())).toBe(date.getTime());
          const local = new Date(date.getTime() + minutes * 60_000).toISOString();
          if (!/^\d{4}-/.test(local)) return;
          const zone = `${minutes < 0 ? '-' : '+'}${pad(Math.trunc(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`;
          expect(instantOf(local.replace('Z', zone))).toBe(date.getTime());
        },
      ),
    );
  });

  it.each([
    ['2026-11-30T09:00Z', '2026-11-30T09:00:00.000Z'],
    ['2026-11-30 09:00Z', '2026-11-30T09:00:00.000Z'],
    ['2026-11-30T09:00:00.5+0100', '2026-11-30T08:00:00.500Z'],
    ['2024-02-29T00:00:00.123456789Z', '2024-02-29T00:00:00.123Z'],
  ])('can be written as %s', (text, iso) => {
    expect(parseInstant(text, 'from')).toBe(text);
    expect(new Date(instantOf(text) as number).toISOString()).toBe(iso);
  });

  it.each([
    '2026-11-30',
    '2026-11-30T09:00',
    '2026-11-30T09:00:00',
    '2026-02-29T00:00Z',
    '2100-02-29T00:00Z',
    '2026-04-31T00:00Z',
    '2026-13-01T00:00Z',
    '2026-00-01T00:00Z',
    '2026-11-30T24:00Z',
    '2026-11-30T09:60Z',
    '2026-11-30T09:00:60Z',
    '2026-11-30T09:00+24:00',
    '14 days-ish',
    '',
    42,
    null,
    new Date(Number.NaN),
  ])('is not %p', (value) => {
    expect(() => parseInstant(value, 'rules[0].from')).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE', path: 'rules[0].from' }),
    );
    if (typeof value !== 'number') expect(instantOf(value)).toBeUndefined();
  });
});

function pad(number: number): string {
  return String(number).padStart(2, '0');
}
