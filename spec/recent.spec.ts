import { Recent } from '../lib/recent.js';

describe('what was used recently', () => {
  it('is the last half of what there is room for, and never more than that', () => {
    const recent = new Recent<number>(10);
    const held = () => Array.from({ length: 1_000 }, (_, n) => `${n}`).filter((key) => peek(key));
    const peek = (key: string) => {
      const { young, old } = recent as unknown as Record<'young' | 'old', Map<string, number>>;
      return young.has(key) || old.has(key);
    };
    for (let n = 0; n < 1_000; n++) {
      recent.set(`${n}`, n);
      expect(held().length).toBeLessThanOrEqual(10);
      for (let last = Math.max(0, n - 4); last <= n; last++) expect(peek(`${last}`)).toBe(true);
    }
  });

  it('stays as long as it is used', () => {
    const recent = new Recent<number>(10);
    recent.set('kept', 1);
    for (let n = 0; n < 100; n++) {
      recent.set(`${n}`, n);
      expect(recent.get('kept')).toBe(1);
    }
    expect(recent.get('0')).toBeUndefined();
  });
});
