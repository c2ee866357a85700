import { Rollout } from '../lib/index.js';

it('guards', async () => {
  const rollout = new Rollout();
  await rollout.addFeature('f', { percentage: 100 });
  class Billing {
    @rollout.check('f', 1) async charge(user: string) {
      return user;
    }
  }
  expect(await new Billing().charge('x')).toBe('x');
});
