import type { Backend, Head, HeldFeature, Written } from '../../backends/backend.js';
import { decide, lookupId } from '../../domain/decide.js';
import type { Feature } from '../../domain/feature.js';
import { createFeature, type FeatureSettings } from '../../domain/validate.js';

/** What a case is about: a backend of its own, new and empty, and what most cases ask of it. */
export interface Given {
  readonly backend: Backend;
  /** A feature, `chat` where no name is said. */
  create(name?: string, settings?: FeatureSettings, id?: string): Promise<Feature>;
  add(name: string, ids: readonly string[]): Promise<Written>;
  /** Puts a document in the place of the one that has its id, at whatever revision that is. */
  replace(document: Feature, about?: { actor?: string; note?: string }): Promise<Written>;
  membersOf(name: string): Promise<Set<string>>;
  /** What a check of this subject has before it. */
  held(name: string, subject: unknown): Promise<HeldFeature | undefined>;
  /** Undefined where there is no such feature. */
  isEnabled(name: string, subject: unknown): Promise<boolean | undefined>;
  head(name: string): Promise<Head | undefined>;
}

/** One sentence of the contract. Rejects with an AssertionError where it does not hold. */
export type Case =
  | ((given: Given) => Promise<void>)
  | { readonly timeoutMs: number; readonly run: (given: Given) => Promise<void> };

/** By their sentences, the ends of one that begins with what the cases are about. */
export type Cases = Readonly<Record<string, Case>>;

/** For decisions on nothing but the feature, its members and the subject's `id`. */
export const SURROUNDINGS = {
  identify: (subject: object) => (subject as { id?: unknown }).id,
  now: Date.now,
  inGroup: () => undefined,
  segmentOf: () => undefined,
  unreadableSubject: () => {},
};

export function givenOf(backend: Backend): Given {
  const held = async (name: string, subject: unknown) => {
    const view = await backend.read([name], (compiled) =>
      lookupId(compiled, subject, SURROUNDINGS),
    );
    return view.get(name);
  };
  return {
    backend,
    create: async (name = 'chat', settings = {}, id = `id-${name}`) => {
      const document = createFeature(name, id, settings);
      await backend.write({ name, expect: 'absent', document });
      return document;
    },
    add: (name, ids) => backend.write({ name, expect: 'present', add: ids }),
    replace: (document, about = {}) =>
      backend.write({ name: document.name, expect: { id: document.id }, document, ...about }),
    membersOf: async (name) => {
      const all: string[] = [];
      for await (const batch of backend.members(name)) all.push(...batch);
      return new Set(all);
    },
    held,
    isEnabled: async (name, subject) => {
      const found = await held(name, subject);
      return found && decide(found.compiled, subject, found.facts, SURROUNDINGS).enabled;
    },
    head: async (name) => (await backend.load(name))?.head,
  };
}
