import 'reflect-metadata';
import { type HanoiError, Rollout } from '../lib/index.js';

// Compiled twice: with standard decorators, and with those of before the standard.

interface User {
  id: string;
}

interface Order {
  owner: User | undefined;
}

const ann: User = { id: 'ann' };
const bob: User = { id: 'bob' };

const rollout = new Rollout();
const asked: string[] = [];

function Described(): MethodDecorator & ((method: object, context: object) => void) {
  return (...args: unknown[]) => {
    const [first, , third] = args as [object, unknown, PropertyDescriptor | undefined];
    Reflect.defineMetadata('route', '/charge', typeof first === 'function' ? first : third?.value);
  };
}

class Billing {
  readonly prefix = 'paid by';

  @rollout.check('chat') async charge() {
    return this.prefix;
  }

  @rollout.check('chat', 2) async refund(_order: Order, user?: User) {
    return `${this.prefix} ${user?.id}`;
  }

  @rollout.check('chat', (order: Order) => order.owner) async hold(order: Order) {
    return `${this.prefix} ${order.owner?.id}`;
  }

  @rollout.check('chat', function (this: Billing) {
    asked.push(this.prefix);
    return ann;
  })
  async own() {
    return 'own';
  }

  @rollout.check('chat', () => {
    throw new Error('no order');
  })
  async broken() {
    return 'broken';
  }

  @rollout.check('chat', 1, {
    async otherwise(this: Billing, user: User) {
      return `${this.prefix} nobody, not ${user.id}`;
    },
  })
  async settle(user: User) {
    return `${this.prefix} ${user.id}`;
  }

  @rollout.check('chat', { otherwise: () => 'instead' }) async quietly() {
    return 'loudly';
  }

  @rollout.check('nobody knows', 1) async unknown(_user: User) {}

  @rollout.check('nobody knows', { otherwise: () => 'instead' }) async unknownButFine() {
    return 'never';
  }

  @rollout.enabled('everyone') async sweep() {
    return this.prefix;
  }

  @rollout.enabled('chat') async sweepMost() {
    return this.prefix;
  }

  @rollout.check('chat', 1)
  @Described()
  async described(user: User, _more: string) {
    return user.id;
  }

  @rollout.check('chat', 1) static async make(user: User) {
    return user.id;
  }

  @rollout.check('chat', 1) async fails(_user: User): Promise<never> {
    throw new RangeError('of its own');
  }
}

const billing = new Billing();

beforeAll(async () => {
  await rollout.addFeature('chat', { percentage: 0 });
  await rollout.register('chat', 'ann');
  await rollout.addFeature('everyone', { percentage: 100 });
});

describe('a guarded method', () => {
  it('goes through for those who get the feature', async () => {
    expect(await rollout.runAs(ann, () => billing.charge())).toBe('paid by');
    expect(await billing.refund({ owner: bob }, ann)).toBe('paid by ann');
    expect(await billing.hold({ owner: ann })).toBe('paid by ann');
    expect(await billing.settle(ann)).toBe('paid by ann');
    expect(await Billing.make(ann)).toBe('ann');
  });

  it('is refused for others', async () => {
    const refused = [
      () => rollout.runAs(bob, () => billing.charge()),
      () => billing.charge(),
      () => billing.refund({ owner: ann }, bob),
      () => billing.hold({ owner: bob }),
      () => Billing.make(bob),
    ];
    for (const call of refused) {
      await expect(call()).rejects.toMatchObject({ code: 'FEATURE_DISABLED', feature: 'chat' });
    }
  });

  it('says who was refused in a field, and neither in the message nor when it is printed', async () => {
    const error: HanoiError = await billing
      .refund({ owner: ann }, { id: 'secret-id' })
      .then(fail, (thrown) => thrown);
    expect(error.subject).toEqual({ id: 'secret-id' });
    expect(error.message).not.toContain('secret-id');
    expect(JSON.stringify(error)).not.toContain('secret-id');
  });

  it('asks about nobody where an argument is missing or a selector gives none', async () => {
    await rollout.runAs(ann, async () => {
      for (const call of [
        () => billing.refund({ owner: ann }),
        () => billing.refund({ owner: ann }, undefined),
        () => billing.hold({ owner: undefined }),
        () => billing.broken(),
      ]) {
        await expect(call()).rejects.toMatchObject({
          code: 'FEATURE_DISABLED',
          subject: undefined,
        });
      }
    });
  });

  it('reports a selector that throws or answers later, and asks about nobody', async () => {
    const reporting = new Rollout();
    const codes: string[] = [];
    reporting.on('error', ({ code }) => codes.push(code));
    await reporting.addFeature('one', { percentage: 50 });
    await reporting.addFeature('two', { percentage: 50 });
    const late = reporting.check('one', async (user: User) => Promise.reject(new Error(user.id)));
    const never = reporting.check('two', () => {
      throw new Error('no order');
    });
    for (const guarded of [late(async (_user: User) => 1), never(async (_user: User) => 1)]) {
      await expect(guarded(ann)).rejects.toMatchObject({ code: 'FEATURE_DISABLED' });
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(codes).toEqual(['SUBJECT_UNREADABLE', 'SUBJECT_UNREADABLE']);
  });

  it('gives its `this` to the selector', async () => {
    expect(await billing.own()).toBe('own');
    expect(asked).toEqual(['paid by']);
  });

  it('does otherwise, with the same `this` and arguments', async () => {
    expect(await billing.settle(bob)).toBe('paid by nobody, not bob');
    expect(await billing.quietly()).toBe('instead');
    expect(await rollout.runAs(ann, () => billing.quietly())).toBe('loudly');
  });

  it('is refused, or does otherwise, for a feature that nobody defined', async () => {
    await expect(billing.unknown(ann)).rejects.toMatchObject({
      code: 'FEATURE_NOT_FOUND',
      feature: 'nobody knows',
      message: expect.stringContaining('rollout.addFeature("nobody knows")'),
    });
    expect(await billing.unknownButFine()).toBe('instead');
  });

  it('by `enabled` goes through while the feature is on for everyone', async () => {
    expect(await billing.sweep()).toBe('paid by');
    await rollout.runAs(ann, () =>
      expect(billing.sweepMost()).rejects.toMatchObject({ code: 'FEATURE_DISABLED' }),
    );
  });

  it('throws its own errors', async () => {
    await expect(billing.fails(ann)).rejects.toThrow(RangeError);
  });

  it('looks like what it guards', () => {
    expect(billing.described.name).toBe('described');
    expect(billing.described).toHaveLength(2);
    expect(Object.getPrototypeOf(billing.described)).toBe(Object.getPrototypeOf(async () => {}));
    expect(Reflect.getMetadata('route', billing.described)).toBe('/charge');
    expect(Object.keys(billing)).toEqual(['prefix']);
    expect(Object.getOwnPropertyDescriptor(Billing.prototype, 'described')).toMatchObject({
      enumerable: false,
      writable: true,
      configurable: true,
    });
  });
});

describe('a guarded function', () => {
  it('is guarded in the same way', async () => {
    const charge = rollout.check('chat', 1)(async (user: User) => user.id);
    expect(await charge(ann)).toBe('ann');
    await expect(charge(bob)).rejects.toMatchObject({ code: 'FEATURE_DISABLED' });
    const current = rollout.check('chat')(async () => 'in');
    expect(await rollout.runAs(ann, () => current())).toBe('in');
    await expect(current()).rejects.toMatchObject({ code: 'FEATURE_DISABLED' });
  });

  it('keeps its name, its length and what was put on it', async () => {
    const tagged = Object.assign(async function pay(_user: User, _amount: number) {}, { tag: 1 });
    const guarded = rollout.check('chat', 1)(tagged);
    expect([guarded.name, guarded.length, guarded.tag]).toEqual(['pay', 2, 1]);
  });

  it('sees the feature as it is at each call', async () => {
    await rollout.addFeature('switch');
    const guarded = rollout.check('switch', 1)(async (user: User) => user.id);
    await expect(guarded(bob)).rejects.toMatchObject({ code: 'FEATURE_DISABLED' });
    await rollout.activate('switch');
    expect(await guarded(bob)).toBe('bob');
  });
});

describe('a guard that can not be', () => {
  it.each([[0], [-1], [1.5], ['user'], [null]])('is refused for the selector %p', (selector) => {
    expect(() => rollout.check('chat', selector as number)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('is refused for an otherwise that is no function', () => {
    expect(() => rollout.check('chat', { otherwise: 'no' as unknown as () => void })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('is refused for an option that there is not', () => {
    expect(() => rollout.check('chat', { otherwize: () => 1 } as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it.each([
    ['a value', ['value']],
    ['a class', [class {}, { kind: 'class' }]],
    ['a class, of before the standard', [class {}]],
    ['a getter', [() => {}, { kind: 'getter' }]],
    ['a legacy getter', [{}, 'key', { get: () => 1 }]],
    ['nothing', []],
  ])('is refused on %s', (_, args) => {
    const guard = rollout.check('chat') as unknown as (...args: unknown[]) => unknown;
    expect(() => guard(...args)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});

function fail(): never {
  throw new Error('It went through.');
}
