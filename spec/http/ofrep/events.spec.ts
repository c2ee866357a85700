import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ChangeEvent, HealthEvent, Source } from '../../../lib/backends/backend.js';
import { RefetchStreams } from '../../../lib/http/ofrep/refetch-streams.js';
import { MemoryBackend, ReplicaBackend, Rollout } from '../../../lib/index.js';
import { until } from '../../until.js';
import { Listening } from './listening.js';
import { isEventData } from './protocol.js';
import { BEARER, Service } from './service.js';

const ANN = { context: { targetingKey: 'ann' } };

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function serving(...given: Parameters<typeof Service.start>): Promise<Service> {
  const service = await Service.start(...given);
  stops.push(() => service.stop());
  return service;
}

async function listening(...given: Parameters<typeof Listening.to>): Promise<Listening> {
  const stream = await Listening.to(...given);
  stops.push(() => stream.hangUp());
  return stream;
}

/** What a bulk evaluation says of where to listen. */
async function offered(service: Service, headers: object = BEARER): Promise<string | undefined> {
  const { body } = await service.evaluate(undefined, ANN, headers);
  return body.eventStreams?.[0].endpoint.requestUri;
}

const pathOf = async (service: Service, headers?: object) =>
  (await offered(service, headers)) as string;

/** As one over a network: its connections break, and are there again. */
function interrupted() {
  const backend = new MemoryBackend();
  const told: { changes?: (event: undefined) => void; health?: (event: HealthEvent) => void } = {};
  const source: Source = Object.assign(Object.create(backend) as MemoryBackend, {
    subscribe: (listener: (event: ChangeEvent | undefined) => void) => {
      told.changes = listener;
      return () => {};
    },
    watch: (listener: (event: HealthEvent) => void) => {
      told.health = listener;
      return () => {};
    },
  });
  return { source, told, health: () => backend.health() };
}

describe('an event stream', () => {
  it('tells once of changes that come together, of features and of users', async () => {
    const service = await serving();
    const { rollout } = service;
    await rollout.addFeature('chat');
    const stream = await listening(service, await pathOf(service));
    await until(() => stream.id !== '');
    expect([stream.status, stream.events]).toEqual([200, []]);
    await rollout.setPercentage('chat', 50);
    await rollout.register('chat', ['ann', 'bob']);
    await until(() => stream.events.length > 0);
    await delay(150);
    expect(stream.events).toEqual([
      {
        type: 'refetchEvaluation',
        etag: expect.any(String),
        lastModified: expect.any(Number),
      },
    ]);
    expect(stream.events.every(isEventData)).toBe(true);
    expect(stream.text).toMatch(/^retry: 2000\nid: \S+\n\nid: \S+\nevent: message\ndata: /);
    await rollout.addToGroup('friends', ['ann']);
    await until(() => stream.events.length === 2);
  });

  it('tells at once of what came between the evaluation and the connection', async () => {
    const service = await serving();
    const path = await pathOf(service);
    const early = await listening(service, path);
    await service.rollout.addFeature('chat');
    await until(() => early.events.length === 1);
    const late = await listening(service, path);
    await until(() => late.events.length === 1);
    // Who comes back, and has heard all.
    const back = await listening(service, path, { 'last-event-id': early.id });
    await until(() => back.id !== '');
    await delay(20);
    expect([late.id, back.id, back.events]).toEqual([early.id, early.id, []]);
    // And who was told by another process.
    const other = await listening(service, path, { 'last-event-id': 'another-7' });
    await until(() => other.events.length === 1);
  });

  it('tells where changes may have gone unheard', async () => {
    const { source, told, health } = interrupted();
    const service = await serving({}, new Rollout(source));
    const stream = await listening(service, await pathOf(service));
    await until(() => stream.id !== '');
    told.changes?.(undefined);
    await until(() => stream.events.length === 1);
    told.health?.({ kind: 'recovered', health: health(), cause: undefined });
    await until(() => stream.events.length === 2);
  });

  it('ends with the handler', async () => {
    const service = await serving();
    const path = await pathOf(service);
    const stream = await listening(service, path);
    service.handler.close();
    await until(() => stream.isOver);
    expect((await listening(service, path)).status).toBe(429);
    expect(await offered(service)).toBeUndefined();
  });

  it('is gone once a client hangs up, however it does, and HEAD opens none', async () => {
    const service = await serving({ eventStreams: 3 });
    const path = await pathOf(service);
    for (let n = 0; n < 20; n++) {
      (await Listening.to(service, path)).hangUp();
      await until(async () => (await offered(service)) !== undefined);
      expect((await fetch(service.url + path, { method: 'HEAD' })).status).toBe(200);
    }
    const socket = connect(service.port, '127.0.0.1');
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.resetAndDestroy();
    const streams = [];
    await until(async () => {
      const stream = await listening(service, path);
      if (stream.status === 200) streams.push(stream);
      return streams.length === 3;
    });
    expect((await listening(service, path)).status).toBe(429);
  });

  it('is offered to so many, in all and of one caller, and no more than that', async () => {
    const service = await serving({ eventStreams: 5, eventStreamsByCaller: 2 });
    const path = await pathOf(service);
    const first = await listening(service, path);
    const second = await listening(service, path);
    const refused = await listening(service, path);
    expect([first.status, second.status, refused.status]).toEqual([200, 200, 429]);
    const { body, headers } = await service.evaluate(undefined, ANN);
    expect(body).toEqual({ flags: [] });
    first.hangUp();
    await until(async () => (await offered(service)) !== undefined);
    const again = await service.evaluate(undefined, ANN, {
      ...BEARER,
      'if-none-match': headers.get('etag'),
    });
    expect(again.status).toBe(200);
    const none = await serving({ eventStreams: 0 });
    expect(await offered(none)).toBeUndefined();
  });

  it('is there a hundred times for one caller, and a thousand in all, unless told otherwise', async () => {
    const { handler } = await serving();
    const open = async (address: string) => {
      const request = new Request('http://localhost/ofrep/v1/events', { headers: BEARER });
      return (await handler.fetch(request, { address })).status;
    };
    for (let caller = 0; caller < 10; caller++) {
      for (let n = 0; n < 100; n++) expect(await open(`192.0.2.${caller}`)).toBe(200);
      expect(await open(`192.0.2.${caller}`)).toBe(429);
    }
    expect(await open('192.0.2.10')).toBe(429);
  });
});

describe('a ticket', () => {
  it('is in the URL in place of the token, and is the same for a while', async () => {
    const service = await serving();
    const path = await pathOf(service);
    expect(path).not.toContain(BEARER.authorization.slice(7));
    expect(await offered(service)).toBe(path);
    const another = await serving();
    // Signed with what the token is: every process that knows it takes it.
    expect((await listening(another, path)).status).toBe(200);
  });

  it('opens no more than a stream, and no longer than it lasts', async () => {
    const now = jest.spyOn(Date, 'now');
    try {
      const service = await serving();
      const path = await pathOf(service);
      const [, ticket = ''] = path.split('ticket=');
      for (const headers of [
        { authorization: `Bearer ${ticket}` },
        { cookie: `hanoi_session=${ticket}` },
      ]) {
        expect((await service.evaluate(undefined, ANN, headers)).status).toBe(401);
      }
      const forged = path.replace(/ticket=(\w|-)+/, 'ticket=other');
      expect((await listening(service, forged)).status).toBe(401);
      expect((await listening(service, path.replace(/\.[^.]+\./, '.zzzzzzzz.'))).status).toBe(401);
      expect((await listening(service, '/ofrep/v1/events')).status).toBe(401);
      const { headers } = await service.evaluate(undefined, ANN);
      now.mockReturnValue(Date.now() + 3_600_000);
      // An hour later there is another, so the answer is another.
      const known = { ...BEARER, 'if-none-match': headers.get('etag') };
      expect((await service.evaluate(undefined, ANN, known)).status).toBe(200);
      expect(await offered(service)).not.toBe(path);
      now.mockReturnValue(Date.now() + 3_600_000);
      expect((await listening(service, path)).status).toBe(401);
    } finally {
      now.mockRestore();
    }
  });

  it('serves those that the app knows by itself, and names none of them', async () => {
    const authorize = ({ headers }: Request) =>
      headers.get('x-user') === null
        ? undefined
        : ({ access: 'evaluate', actor: 'ann@example.com' } as const);
    const ticketSecret = 's'.repeat(32);
    const service = await serving({ tokens: [], authorize, ticketSecret });
    const path = await pathOf(service, { 'x-user': '1' });
    expect(decodeURIComponent(path)).not.toContain('ann@');
    expect((await listening(service, path)).status).toBe(200);
    const same = await serving({ tokens: [], authorize, ticketSecret });
    expect((await listening(same, path)).status).toBe(200);
    const other = await serving({ tokens: [], authorize });
    expect((await listening(other, path)).status).toBe(401);
    expect((await listening(other, await pathOf(other, { 'x-user': '1' }))).status).toBe(200);
  });

  it('is not needed where everybody may evaluate', async () => {
    const service = await serving({ tokens: [], anonymous: 'evaluate' });
    const path = await pathOf(service, {});
    expect(path).not.toContain('ticket');
    expect((await listening(service, path)).status).toBe(200);
  });
});

describe('given a process that hears of a change later', () => {
  it('waits with the answer until it knows what the client was told of', async () => {
    const backend = new MemoryBackend();
    const writing = await serving({}, new Rollout(backend));
    await writing.rollout.addFeature('chat');
    const replica = new Rollout(new ReplicaBackend(backend, { pollMs: 100 }));
    await replica.ready();
    const service = await serving({}, replica);
    const stream = await listening(writing, await pathOf(writing));
    await writing.rollout.setPercentage('chat', 100);
    await until(() => stream.events.length === 1);
    const [{ etag }] = stream.events as [{ etag: string }];
    const { body } = await service.post(`/ofrep/v1/evaluate/flags?flagConfigEtag=${etag}`, ANN);
    expect(body.flags).toMatchObject([{ key: 'chat', value: true }]);
  });
});

describe('a client that takes nothing', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('is told the last alone, and given up after a while', async () => {
    const rollout = new Rollout();
    const streams = new RefetchStreams(rollout, { most: 1, mostOfOne: 1 });
    let hungUp = 0;
    const stream = streams.stream({
      caller: 'ann',
      until: Number.POSITIVE_INFINITY,
      seen: streams.position,
      hangUp: () => hungUp++,
    }) as ReadableStream<Uint8Array>;
    await rollout.addFeature('chat');
    for (let percentage = 1; percentage <= 100; percentage++) {
      await rollout.setPercentage('chat', percentage);
      jest.advanceTimersByTime(100);
    }
    const reader = stream.getReader();
    const read = async () => Buffer.from((await reader.read()).value ?? []).toString();
    expect(await read()).toMatch(/^retry/);
    expect(await read()).toMatch(/^id: \S+-100\n/);
    await rollout.setPercentage('chat', 1);
    jest.advanceTimersByTime(100);
    await rollout.setPercentage('chat', 2);
    jest.advanceTimersByTime(100);
    jest.advanceTimersByTime(25_000);
    expect([streams.size, hungUp]).toEqual([1, 0]);
    jest.advanceTimersByTime(25_000);
    expect([streams.size, hungUp]).toEqual([0, 1]);
    await rollout.close();
  });

  it('hears from time to time that the connection is alive, until its ticket is over', async () => {
    const rollout = new Rollout();
    const streams = new RefetchStreams(rollout, { most: 1, mostOfOne: 1 });
    const stream = streams.stream({
      caller: 'ann',
      until: Date.now() + 60_000,
      seen: streams.position,
      hangUp: () => {},
    }) as ReadableStream<Uint8Array>;
    const taken: string[] = [];
    const reading = (async () => {
      for await (const chunk of stream) taken.push(Buffer.from(chunk).toString());
    })();
    await jest.advanceTimersByTimeAsync(75_000);
    await reading;
    expect(taken.slice(1)).toEqual([':\n\n', ':\n\n']);
    expect([streams.size, jest.getTimerCount()]).toEqual([0, 0]);
    await rollout.close();
  });
});
