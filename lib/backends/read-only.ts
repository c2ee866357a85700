import type { Source } from './backend.js';

/** The same source, and nothing more: what it could be written by is not there. */
export function readOnly(source: Source): Source {
  return new Proxy(source, {
    has: (target, key) => key !== 'write' && key in target,
    get: (target, key) => {
      if (key === 'write') return undefined;
      const value: unknown = Reflect.get(target, key);
      // Its own methods count on being called on it.
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
