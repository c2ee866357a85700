import { HttpSource, type Latest } from '../../lib/backends/http-source/index.js';
import { importInto, readSlowroll } from '../../lib/import/index.js';
import { Rollout } from '../../lib/index.js';
import fixture from '../fixtures/slowroll.json' with { type: 'json' };
import { answerWith, HttpServer } from '../http-server.js';

const config = {
  features: {
    install_to_opt_foo: {
      end_time: '2025-01-01 00:00Z',
      duration: '14d',
      stable: false,
      new: true,
      early_adopters: ['canary-host'],
    },
  },
};
const NAME = 'features.install_to_opt_foo';
const END = Date.parse('2025-01-01T00:00Z');
const DAY = 86_400_000;
const hosts = Array.from({ length: 2_000 }, (_, n) => `web-${n}.example.com`);

describe('the README of slowroll', () => {
  let now = 0;
  let rollout: Rollout;
  beforeEach(async () => {
    rollout = new Rollout(undefined, { now: () => now });
    await importInto(rollout, readSlowroll(config));
  });
  afterEach(() => rollout.close());

  const shareAt = (instant: number) => {
    now = instant;
    return hosts.filter((host) => rollout.isEnabledSync(NAME, host)).length / hosts.length;
  };

  it('gives the value of a key for a host, and a default for a key that is not there', async () => {
    now = END;
    expect(await rollout.value(NAME, null, 'web-1')).toBe(true);
    now = END - 15 * DAY;
    expect(await rollout.value(NAME, null, 'web-1')).toBe(false);
    expect(await rollout.value('features.unheard_of', 'default', 'web-1')).toBe('default');
  });

  it('begins so long before its end as it takes', () => {
    expect(shareAt(END - 14 * DAY)).toBe(0);
    expect(shareAt(END - 7 * DAY)).toBeCloseTo(0.5, 1);
    expect(shareAt(END)).toBe(1);
  });

  it('has its early adopters in from the first', async () => {
    now = 0;
    expect(await rollout.value(NAME, null, 'canary-host')).toBe(true);
    expect((await rollout.decide(NAME, 'canary-host')).detail).toBe('member');
  });

  it('drops no host while it goes on', () => {
    const before = new Set<string>();
    for (let day = 14; day >= 0; day--) {
      now = END - day * DAY;
      const dropped = [...before].filter((host) => !rollout.isEnabledSync(NAME, host));
      expect(dropped).toEqual([]);
      for (const host of hosts) if (rollout.isEnabledSync(NAME, host)) before.add(host);
    }
    expect(before.size).toBe(hosts.length);
  });
});

describe("slowroll's config at a URL", () => {
  it('is followed where it is, with its ETag, host by host', async () => {
    const [recorded] = fixture.cases;
    if (recorded === undefined) throw new Error('The fixture has no cases.');
    const server = await HttpServer.start(answerWith(JSON.stringify(fixture.config), '"1"'));
    const latest: Latest = async ({ etag, signal }) => {
      const headers = new Headers(etag === undefined ? {} : { 'if-none-match': etag });
      const response = await fetch(server.url, { headers, signal });
      if (response.status === 304) return undefined;
      const { features, problems } = readSlowroll(JSON.parse(await response.text()));
      if (problems[0] !== undefined) throw problems[0];
      const body = {
        features: Object.fromEntries(features.map(({ name, settings }) => [name, settings])),
        members: Object.fromEntries(features.map(({ name, members }) => [name, members])),
      };
      return { body, etag: response.headers.get('etag') ?? undefined };
    };
    const rollout = new Rollout(new HttpSource(latest, { pollMs: 10 }), {
      now: () => Date.parse(recorded.now),
    });
    try {
      expect((await rollout.ready()).state).toBe('ready');
      const name = `${recorded.section}.${recorded.key}`;
      const given = fixture.hosts.filter((host) => rollout.isEnabledSync(name, host));
      expect(new Set(given)).toEqual(new Set(recorded.new));
      while (server.asked.length < 3) await new Promise((done) => setTimeout(done, 10));
      expect(server.asked[2]?.headers['if-none-match']).toBe('"1"');
    } finally {
      await rollout.close();
      await server.stop();
    }
  });
});
