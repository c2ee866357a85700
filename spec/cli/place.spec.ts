import { type Place, parsePlace, type RedisPlace, titleOf } from '../../lib/cli/place.js';

const redis: Omit<RedisPlace, 'nodes'> = {
  kind: 'redis',
  isSecure: false,
  isCluster: false,
  db: 0,
  backend: 'redis-set',
  namespace: undefined,
  sentinel: undefined,
  username: undefined,
  password: undefined,
};
const node = (host: string, port = 6379) => ({ host, port });

describe('where features are', () => {
  it.each<[string, Place]>([
    ['features.json', { kind: 'file', path: '/app/features.json' }],
    ['../other.json', { kind: 'file', path: '/other.json' }],
    ['/srv/features.json', { kind: 'file', path: '/srv/features.json' }],
    ['file:features.json', { kind: 'file', path: '/app/features.json' }],
    ['file:///srv/a%20b.json', { kind: 'file', path: '/srv/a b.json' }],
    [
      'https://config.example.com/f.json?v=1',
      { kind: 'http', url: 'https://config.example.com/f.json?v=1' },
    ],
    ['redis://localhost', { ...redis, nodes: [node('localhost')] }],
    ['redis://localhost:7000/3', { ...redis, nodes: [node('localhost', 7000)], db: 3 }],
    ['REDISS://cache', { ...redis, nodes: [node('cache')], isSecure: true }],
    ['rediss://cache', { ...redis, nodes: [node('cache')], isSecure: true }],
    ['redis://[::1]:7000', { ...redis, nodes: [node('::1', 7000)] }],
    [
      'redis://app:p%40ss:word%2F@host/0?namespace=shop&backend=redis',
      {
        ...{ ...redis, nodes: [node('host')], username: 'app', password: 'p@ss:word/' },
        ...{ namespace: 'shop', backend: 'redis' },
      },
    ],
    ['redis://:secret@host', { ...redis, nodes: [node('host')], password: 'secret' }],
    [
      'redis://a:7000,b:7001?cluster=true',
      { ...redis, nodes: [node('a', 7000), node('b', 7001)], isCluster: true },
    ],
    [
      'redis://s1,s2:26380?sentinel=mymaster',
      { ...redis, nodes: [node('s1', 26379), node('s2', 26380)], sentinel: 'mymaster' },
    ],
    [
      'redis://host?backend=rollout-gem',
      { ...redis, nodes: [node('host')], backend: 'rollout-gem' },
    ],
  ])('is read of %s', (text, place) => {
    expect(parsePlace(text, '/app')).toEqual(place);
  });

  it.each([
    '',
    'redis://',
    'redis://u:hunter2@',
    'redis:u:hunter2@host',
    'rediss:/u:hunter2@host',
    'HTTPS:hunter2@host',
    'redis://u:hunter2@host:99999999',
    'redis://u:hunter2@host:port',
    'redis://u:hunter2%@host',
    'redis://u:hunter2@host/db',
    'redis://u:hunter2@a,b',
    'redis://u:hunter2@a?cluster=true&sentinel=m',
    'redis://u:hunter2@a?cluster=maybe',
    'redis://u:hunter2@a?backend=memory',
    'redis://u:hunter2@a?nam=shop',
    'rdis://u:hunter2@host',
    'http://u:hunter2@:x/',
    'file://u:hunter2@host/x',
  ])('is refused of %s, without the password', (text) => {
    let refusal: { code?: string; message?: string } = {};
    try {
      parsePlace(text, '/app');
    } catch (error) {
      refusal = error as object;
    }
    expect(refusal.code).toBe('INVALID_ARGUMENT');
    expect(refusal.message).not.toContain('hunter2');
  });

  it.each([
    ['redis://app:hunter2@host/1?namespace=shop', 'redis://host:6379/1 (namespace shop)'],
    ['redis://host?backend=rollout-gem', 'redis://host:6379/0 (the rollout gem)'],
    [
      'https://u:hunter2@config.example.com/f.json?key=hunter2',
      'https://config.example.com/f.json',
    ],
    ['redis://host?namespace=a%1Bb', 'redis://host:6379/0 (namespace a\\u{1b}b)'],
  ])('is named without what is secret: %s', (text, title) => {
    expect(titleOf(parsePlace(text, '/app'))).toBe(title);
  });
});
