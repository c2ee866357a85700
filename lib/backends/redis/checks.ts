import { type CompiledFeature, compileUnreadable, type Facts } from '../../domain/decide.js';
import { HanoiError } from '../../errors.js';
import type { Head, HeldFeature, IdOf, View } from '../backend.js';
import { type Command, type Connection, now, Refusal, timedOut } from './connection.js';
import type { Keys } from './keys.js';
import { compileStored, documentPart, parseHead, parseStored } from './stored.js';

/**
 * Where membership is answered: `asked` of the server at each check, or here, from members that
 * are `held` and fetched again when they have changed.
 */
export type Membership = 'asked' | 'held';

/**
 * Arguments of one command: more would keep the server from its other clients for milliseconds,
 * and Lua hands on 8,000 at most.
 */
const MOST_ARGUMENTS = 5_000;

/** Members of one feature that are held: to fetch these takes some 50 ms of this process. */
const MOST_HELD = 50_000;

const NOBODY: ReadonlySet<string> = new Set();

/** A feature as this process holds it, good while its head is the stored one. */
interface Definition {
  readonly compiled: CompiledFeature;
  /** The part of the head that moves with the document. */
  readonly part: string;
  /** Undefined where the head is lost: such a definition is good only for now. */
  head: Head | undefined;
  /** The head's text as last seen. */
  text: string | null;
  /** The members under one of its heads; never where they are asked for. */
  held: { readonly stamp: number; readonly ids: ReadonlySet<string> } | undefined;
  /** Whether its members are asked for: all of them, or because they are too many to be held. */
  isAsked: boolean;
}

interface Ask {
  readonly idOf: IdOf;
  readonly resolve: (view: View) => void;
  readonly reject: (error: unknown) => void;
}

/** What is asked about one feature, by one or many. */
class Group {
  readonly asks: Ask[];
  /** The definition by which the ids were read: one for each ask. */
  definition: Definition | undefined;
  ids: (string | undefined)[] = [];
  /** The ids that there are, as they are sent. */
  known: string[] = [];
  /** Whether it was asked who of them is a member, rather than who all the members are. */
  isAsked: boolean = false;
  /** Undefined until what was read belongs together; null where there is no such feature. */
  found: readonly HeldFeature[] | null | undefined;

  constructor(
    readonly name: string,
    asks: Ask[] = [],
  ) {
    this.asks = asks;
  }

  readIds(definition: Definition): void {
    if (this.definition === definition) return;
    this.definition = definition;
    this.ids = [];
    this.known = [];
    for (const { idOf } of this.asks) {
      const id = idOf(definition.compiled);
      this.ids.push(id);
      if (id !== undefined) this.known.push(id);
    }
  }

  /** Found, with what is known of the members: all of them, or a flag for each known id. */
  find(members: ReadonlySet<string> | undefined, flags: readonly unknown[] = []): void {
    const { head, compiled } = this.definition as Definition;
    let at = 0;
    this.found = this.ids.map((id) => {
      const isIn = id !== undefined && members === undefined && flags[at++] === 1;
      return new Answer(this.name, head, compiled, members, id, isIn);
    });
  }

  /** Found, but what is kept of the members can't be read: closed. */
  findUnreadable(key: string): void {
    const problem = new HanoiError(
      'CORRUPT_FEATURE',
      `Key ${JSON.stringify(key)} holds something else than a set of members.`,
      { feature: this.name },
    );
    const { head } = this.definition as Definition;
    const compiled = compileUnreadable(this.name, problem);
    this.found = this.ids.map((id) => new Answer(this.name, head, compiled, NOBODY, id, false));
  }

  answer(): void {
    const { asks, found } = this;
    for (let at = 0; at < asks.length; at++) (asks[at] as Ask).resolve(viewOf(found?.[at]));
  }
}

/** All that is asked in one turn of the event loop: it travels together. */
class Turn {
  readonly groups = new Map<string, Group>();
  readonly several: { readonly names: readonly string[]; readonly ask: Ask }[] = [];
  readonly all: Ask[] = [];
  isOver: boolean = false;

  end(error: unknown): void {
    this.isOver = true;
    for (const { asks } of this.groups.values()) for (const { reject } of asks) reject(error);
    for (const { ask } of this.several) ask.reject(error);
    for (const { reject } of this.all) reject(error);
  }
}

/** One feature as one check needs it; its own view and facts, so that a check makes one object. */
class Answer implements View, HeldFeature, Facts {
  constructor(
    private readonly name: string,
    readonly head: Head | undefined,
    readonly compiled: CompiledFeature,
    /** The members; or undefined, and it is known of one id whether it `isIn`. */
    private readonly members: ReadonlySet<string> | undefined,
    private readonly id: string | undefined,
    private readonly isIn: boolean,
  ) {}

  get facts(): Facts {
    return this;
  }

  get(name: string): HeldFeature | undefined {
    return name === this.name ? this : undefined;
  }

  names(): Iterable<string> {
    return [this.name];
  }

  isMember(id: string): boolean | undefined {
    if (this.members !== undefined) return this.members.has(id);
    return id === this.id ? this.isIn : undefined;
  }
}

const NOTHING: View = { get: () => undefined, names: () => [] };

function viewOf(found: HeldFeature | undefined): View {
  return (found as Answer | undefined) ?? NOTHING;
}

/**
 * Answers checks, all of one turn together.
 *
 * Heads do not repeat. So a check that sends the question of membership first, and reads the head
 * after it, knows by the head being the one held before that the document was the same all the
 * while, also when the members were asked. That is the usual check, and one round trip. Where it
 * does not tell (no definition yet, several features at one moment), a script reads it at once.
 */
export class Checks {
  private readonly definitions = new Map<string, Definition>();
  /** The token under which the definitions are all that there are. */
  private complete: string | undefined;
  private turn: Turn | undefined;
  private readonly underway = new Set<Turn>();
  private hasSeenToken = false;
  private closed: HanoiError | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly keys: Keys,
    private readonly membership: Membership,
    private readonly timeoutMs: number,
  ) {}

  read(names: readonly string[], idOf: IdOf): Promise<View> {
    return new Promise((resolve, reject) => {
      const turn = this.open();
      const ask = { idOf, resolve, reject };
      if (names.length !== 1) {
        turn.several.push({ names, ask });
        return;
      }
      const name = names[0] as string;
      const group = turn.groups.get(name);
      if (group === undefined) turn.groups.set(name, new Group(name, [ask]));
      else group.asks.push(ask);
    });
  }

  readAll(idOf: IdOf): Promise<View> {
    return new Promise((resolve, reject) => {
      this.open().all.push({ idOf, resolve, reject });
    });
  }

  /** The store holds something: from now on, nothing at all is a loss, never "no such feature". */
  seeToken(): void {
    this.hasSeenToken = true;
  }

  /** Rejects what is underway, and what comes. */
  close(error: HanoiError): void {
    this.closed = error;
    this.turn?.end(error);
    for (const turn of this.underway) turn.end(error);
    this.definitions.clear();
  }

  private open(): Turn {
    if (this.closed !== undefined) throw this.closed;
    if (this.turn === undefined) {
      this.turn = new Turn();
      setImmediate(() => this.begin());
    }
    return this.turn;
  }

  private begin(): void {
    const turn = this.turn as Turn;
    this.turn = undefined;
    if (turn.isOver) return;
    this.underway.add(turn);
    const timer = setTimeout(() => turn.end(timedOut()), this.timeoutMs);
    this.answer(turn)
      .catch((error) => turn.end(error))
      .finally(() => {
        clearTimeout(timer);
        this.underway.delete(turn);
      });
  }

  private async answer(turn: Turn): Promise<void> {
    if (!this.connection.isReady) await this.connection.ready(now() + this.timeoutMs);
    const held: Group[] = [];
    const others: Group[] = [];
    for (const group of turn.groups.values()) {
      (this.definitions.has(group.name) ? held : others).push(group);
    }
    const works: Promise<void>[] = [];
    if (held.length > 0) works.push(this.answerEach(turn, held));
    // These wait for their definitions; those need not wait with them.
    if (others.length > 0) works.push(this.answerEach(turn, others));
    for (const { names, ask } of turn.several) works.push(this.answerSeveral(turn, names, ask));
    if (turn.all.length > 0) works.push(this.answerAll(turn));
    await Promise.all(works);
  }

  /** Each group for itself, in as many rounds as it takes: one, where the definitions are good. */
  private async answerEach(turn: Turn, groups: readonly Group[]): Promise<void> {
    let open = groups;
    while (open.length > 0 && !turn.isOver) {
      await this.look(open);
      for (const group of open) if (group.found !== undefined) group.answer();
      open = open.filter(({ found }) => found === undefined);
    }
  }

  /** Several features at one moment. */
  private async answerSeveral(turn: Turn, names: readonly string[], ask: Ask): Promise<void> {
    const groups = Array.from(new Set(names), (name) => new Group(name, [ask]));
    while (!turn.isOver) {
      await this.lookAtOnce(groups);
      if (groups.every(({ found }) => found !== undefined)) {
        ask.resolve(answersAt(groups, 0));
        return;
      }
      for (const group of groups) group.found = undefined;
    }
  }

  /** Every feature at one moment: where nothing has changed since, the token alone says so. */
  private async answerAll(turn: Turn): Promise<void> {
    let names: Iterable<string> = this.definitions.keys();
    // What is complete can change before the reply: the definitions asked by are those of now.
    let { complete } = this;
    while (!turn.isOver) {
      const groups = Array.from(names, (name) => new Group(name, turn.all));
      const there = await this.lookAtOnce(groups, complete ?? 'none');
      const isWhole = complete !== undefined || isSameSet(there.names, groups);
      if (isWhole && groups.every(({ found }) => found)) {
        this.complete = there.token ?? undefined;
        for (const [at, { resolve }] of turn.all.entries()) resolve(answersAt(groups, at));
        return;
      }
      if (complete === undefined) names = there.names;
      complete = undefined;
    }
  }

  /** One round. What could be read together is found afterwards; the others need another. */
  private async look(groups: readonly Group[]): Promise<void> {
    const lookups = groups.map((group) => this.lookupsOf(group));
    const isEasy = groups.every(
      ({ definition }, at) =>
        definition !== undefined && (definition.isAsked || lookups[at]?.length === 0),
    );
    if (!isEasy || this.connection.isCluster) {
      await this.lookAtOnce(groups);
      return;
    }
    // The memberships before the heads: see above.
    const asked = lookups.map((commands) =>
      commands.map((command) => this.connection.send(...command).catch(itself)),
    );
    const heads = await this.connection.send('hmget', this.keys.heads, namesOf(groups));
    for (const [at, group] of groups.entries()) {
      const replies = asked[at] as readonly Promise<unknown>[];
      const members = replies.length === 0 ? [] : await Promise.all(replies);
      this.conclude(group, (heads as (string | null)[])[at] as string | null, members);
    }
  }

  /**
   * One round of one moment. `complete` is for every feature: the token under which these groups
   * are all, and then they are found if it still holds; or 'none', and the names come back.
   */
  private async lookAtOnce(
    groups: readonly Group[],
    complete?: string,
  ): Promise<{ readonly token: string | null; readonly names: ReadonlySet<string> }> {
    const { keys } = this;
    const isByToken = complete !== undefined && complete !== 'none';
    const lookups = groups.map((group) => this.lookupsOf(group, isByToken));
    const missing = groups.filter(({ definition }) => definition === undefined);
    const forHeads = isByToken ? [] : inParts('hmget', keys.heads, namesOf(groups));
    const forDocuments = inParts('hmget', keys.features, namesOf(missing));
    const commands: Command[] = [['get', keys.token], ...forHeads, ...forDocuments];
    if (complete === 'none') commands.push(['hkeys', keys.heads], ['hkeys', keys.features]);
    for (const some of lookups) commands.push(...some);
    const replies = (await this.connection.atOnce(commands))[Symbol.iterator]();

    const token = needed<string | null>(replies);
    if (token === null && this.hasSeenToken) throw lost();
    if (token !== null) this.hasSeenToken = true;
    const heads = forHeads.flatMap(() => needed<(string | null)[]>(replies));
    const documents = forDocuments.flatMap(() => needed<(string | null)[]>(replies));
    const names = new Set(
      complete === 'none' ? [...needed<string[]>(replies), ...needed<string[]>(replies)] : [],
    );
    if (isByToken && !this.isSame(token, complete)) return { token, names };

    let next = 0;
    for (const [at, group] of groups.entries()) {
      const { definition } = group;
      if (definition === undefined) {
        this.define(group, heads[at] ?? null, documents[next++] ?? null);
        continue;
      }
      const members = (lookups[at] as Command[]).map(() => replies.next().value);
      this.conclude(group, isByToken ? definition.text : (heads[at] ?? null), members);
    }
    return { token, names };
  }

  /** What has to be asked about members, by the definition that is held. */
  private lookupsOf(group: Group, isGood = false): Command[] {
    const definition = this.definitions.get(group.name);
    if (definition === undefined || (definition.head === undefined && !isGood)) {
      group.definition = undefined;
      return [];
    }
    group.readIds(definition);
    group.isAsked = definition.isAsked;
    const { head, held } = definition;
    if (head === undefined || head.members === 0 || group.known.length === 0) return [];
    const key = this.keys.membersOf(head.id);
    if (definition.isAsked) return inParts('smismember', key, group.known);
    return held?.stamp === head.members ? [] : [['smembers', key, MOST_HELD]];
  }

  /** Takes up the definition that was read, and finds it where no more need be known. */
  private define(group: Group, text: string | null, document: string | null): void {
    const stored = parseStored(group.name, text, document);
    if (stored === undefined) {
      this.definitions.delete(group.name);
      group.found = null;
      return;
    }
    const definition: Definition = {
      compiled: compileStored(group.name, stored),
      part: documentPart(text ?? ''),
      head: stored.head,
      text,
      held: undefined,
      isAsked: this.membership === 'asked',
    };
    this.definitions.set(group.name, definition);
    group.readIds(definition);
    if (stored.head === undefined || stored.head.members === 0) group.find(NOBODY);
    else if (group.known.length === 0) group.find(undefined);
  }

  /** Finds the group where its definition is still the stored one, and its members were asked. */
  private conclude(group: Group, text: string | null, members: readonly unknown[]): void {
    const definition = group.definition as Definition;
    if (text !== definition.text) {
      const head = parseHead(text);
      if (text === null || head === undefined || documentPart(text) !== definition.part) {
        if (this.definitions.get(group.name) === definition) this.definitions.delete(group.name);
        return;
      }
      definition.text = text;
      definition.head = head;
    }
    const stamp = definition.head?.members ?? 0;
    const problem = members.find((reply) => reply instanceof Error);
    if (problem instanceof Refusal && problem.word === 'WRONGTYPE') {
      group.findUnreadable(this.keys.membersOf((definition.head as Head).id));
      return;
    }
    if (problem !== undefined) throw problem;
    if (members.length > 0 && !group.isAsked) {
      // Only their number: they are too many to be held.
      if (typeof members[0] === 'number') definition.isAsked = true;
      else definition.held = { stamp, ids: new Set(members[0] as string[]) };
    }
    if (stamp === 0) group.find(NOBODY);
    else if (group.known.length === 0) group.find(undefined);
    else if (definition.held?.stamp === stamp) group.find(definition.held.ids);
    else if (group.isAsked && members.length > 0) {
      group.find(undefined, members.length === 1 ? (members[0] as number[]) : members.flat());
    }
  }

  /**
   * Whether nothing has changed that definitions or their heads depend on: where members are held,
   * nothing at all; where they are asked for, no document, and no id got its first members.
   */
  private isSame(token: string | null, other: string): boolean {
    if (token === other || token === null || this.membership === 'held') return token === other;
    return withoutMembers(token) === withoutMembers(other);
  }
}

/** The token's part that moves with documents, and with the first members of an id. */
function withoutMembers(token: string): string {
  const [epoch, documents, documentsAt, , , firstsAt] = token.split(':');
  return `${epoch}:${documents}:${documentsAt}:${firstsAt}`;
}

function namesOf(groups: readonly Group[]): string[] {
  return groups.map(({ name }) => name);
}

/** The command on all these arguments, in as many as it takes. */
function inParts(name: 'hmget' | 'smismember', key: string, args: readonly string[]): Command[] {
  const commands: Command[] = [];
  for (let from = 0; from < args.length; from += MOST_ARGUMENTS) {
    commands.push([name, key, args.slice(from, from + MOST_ARGUMENTS)]);
  }
  return commands;
}

function isSameSet(names: ReadonlySet<string>, groups: readonly Group[]): boolean {
  return names.size === groups.length && groups.every(({ name }) => names.has(name));
}

/** The next reply, which nothing can do without. */
function needed<Reply>(replies: Iterator<unknown>): Reply {
  const { value } = replies.next();
  if (value instanceof Error) throw value;
  return value as Reply;
}

function lost(): HanoiError {
  return new HanoiError(
    'STORE_UNAVAILABLE',
    'Redis holds nothing any more of what it held: it was emptied, or started without its data.',
  );
}

function itself(error: unknown): unknown {
  return error;
}

function answersAt(groups: readonly Group[], at: number): View {
  const features = new Map<string, HeldFeature>();
  for (const { name, found } of groups) {
    if (found) features.set(name, found[at] as HeldFeature);
  }
  return { get: (name) => features.get(name), names: () => features.keys() };
}
