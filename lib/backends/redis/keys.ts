import { HanoiError, shown } from '../../errors.js';

/** The keys of one namespace. All have one hash tag, so a cluster keeps them in one slot. */
export class Keys {
  readonly features: string;
  readonly heads: string;
  readonly token: string;
  /** What the keys of members begin with; the feature's id follows. */
  readonly users: string;
  /** The same of what was assigned to ids, and of the weight of each value. */
  readonly assigned: string;
  readonly weights: string;
  readonly channel: string;
  private readonly tag: string;

  /** INVALID_ARGUMENT for a namespace that would not be one hash tag. */
  constructor(namespace: unknown, prefix: string) {
    if (typeof namespace !== 'string' || !/^[^{}\p{Cc}\p{Cs}]{1,100}$/u.test(namespace)) {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Expected \`namespace\` to be 1-100 characters without braces, got ${shown(namespace)}.`,
      );
    }
    this.tag = `${prefix}{${namespace}}:`;
    this.features = `${this.tag}features`;
    this.heads = `${this.tag}heads`;
    this.token = `${this.tag}token`;
    this.users = `${this.tag}users:`;
    this.assigned = `${this.tag}assigned:`;
    this.weights = `${this.tag}weights:`;
    this.channel = `${this.tag}changes`;
  }

  membersOf(featureId: string): string {
    return this.users + featureId;
  }

  /** The stream of one feature's changes. */
  history(kind: 'documents' | 'members', name: string): string {
    return `${this.tag}history:${kind}:${name}`;
  }

  /** The stream of all features' changes. */
  log(kind: 'documents' | 'members'): string {
    return `${this.tag}log:${kind}`;
  }

  request(id: string): string {
    return `${this.tag}request:${id}`;
  }
}
