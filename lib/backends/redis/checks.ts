// Not the global one: a test can put its own in that place, which then waits to be told.
import { setImmediate } from 'node:timers';
import { type CompiledFeature, compileUnreadable, type Facts } from '../../domain/decide.js';
import { HanoiError } from '../../errors.js';
import type { Head, HealthEvent, HeldFeature, IdOf, Staleness, View } from '../backend.js';
import { Background } from './background.js';
import {
  atDeadline,
  type Command,
  type Connection,
  now,
  type Reading,
  Refusal,
  timedOut,
} from './connection.js';
import type { Keys } from './keys.js';
import type { Pulse } from './pulse.js';
import {
  compileStored,
  documentPart,
  parseAssignment,
  parseHead,
  parseStored,
  type StoredText,
} from './stored.js';

/**
 * Where membership is answered: `asked` of the server at each check; or here, once the members are
 * `held`, which are fetched again after they have changed. Until then the server is asked.
 */
export type Membership = 'asked' | 'held';

/**
 * Arguments of one command: more would keep the server from its other clients for milliseconds,
 * and Lua hands on 8,000 at most.
 */
const MOST_ARGUMENTS = 5_000;

/** Members of one feature that are held: to fetch these takes some 50 ms of this process. */
export const MOST_HELD = 50_000;

/** How many memberships are asked in one script, which keeps all others waiting: some 20 ms. */
const MOST_ASKED = 20_000;

const NOBODY: ReadonlySet<string> = new Set();

/** A feature as this process holds it, good while its head is the stored one. */
interface Definition {
  readonly compiled: CompiledFeature;
  /** The part of the head that moves with the document. */
  readonly part: string;
  /** Undefined where the head is lost, or all of the feature. */
  head: Head | undefined;
  /** Whether there is a document: without one, it was lost together with the store. */
  readonly hasDocument: boolean;
  /** The head's text as last seen. */
  text: string | null;
  /** The members under one of its heads. */
  held: { readonly stamp: number; readonly ids: ReadonlySet<string> } | undefined;
  /** Whether its members are not to be held: the backend holds none, or they are too many. */
  isAsked: boolean;
  /** Whether the stored one is another by now: this is only the last that was known. */
  isOutdated: boolean;
  /** When that was sent which showed it last to be the stored one. */
  seenAt: number;
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
  /** How many of the commands that are sent ask about members; the others, what was assigned. */
  memberCommands = 0;
  /** Undefined until what was read belongs together; null where there is no such feature. */
  found: readonly HeldFeature[] | null | undefined;

  constructor(
    readonly name: string,
    asks: Ask[] = [],
    /** Ask who is a member even if the members are held: they keep changing. */
    readonly isRestless: boolean = false,
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

  /**
   * Found, with what is known of the members: all of them, or a flag for each known id; and of what
   * was assigned, for each known id too.
   */
  find(
    members: ReadonlySet<string> | undefined,
    flags: readonly unknown[] = [],
    assigned: readonly (string | null)[] = [],
  ): void {
    const { head, compiled } = this.definition as Definition;
    let at = 0;
    this.found = this.ids.map((id) => {
      const place = id === undefined ? -1 : at++;
      const isIn = place !== -1 && members === undefined && Number(flags[place]) === 1;
      const value = assigned[place];
      const bare = typeof value === 'string' ? parseAssignment('', value).value : value;
      return new Answer(this.name, head, compiled, members, id, isIn, bare);
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
  /** What was asked of several features at one moment, by their names. */
  readonly several = new Map<string, { readonly names: readonly string[]; readonly asks: Ask[] }>();
  readonly all: Ask[] = [];
  isOver: boolean = false;

  /** Each is given the view that is known of what it asked about, or is rejected. */
  end(error: unknown, known: (names: Iterable<string> | 'all') => View | undefined): void {
    this.isOver = true;
    const end = ({ resolve, reject }: Ask, view: View | undefined) =>
      view === undefined ? reject(error) : resolve(view);
    for (const [name, { asks }] of this.groups) {
      const view = known([name]);
      for (const ask of asks) end(ask, view);
    }
    for (const { names, asks } of this.several.values()) {
      const view = known(names);
      for (const ask of asks) end(ask, view);
    }
    for (const ask of this.all) end(ask, known('all'));
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
    /** What the id was assigned. */
    private readonly value?: string | null,
  ) {}

  get facts(): Facts {
    return this;
  }

  get stale(): undefined {
    return undefined;
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

  assigned(id: string): string | null | undefined {
    return id === this.id ? this.value : undefined;
  }
}

const NOTHING: View = { get: () => undefined, names: () => [], stale: undefined };

/** The definitions as they were known last, while the store does not answer. */
class LastKnown implements View, Staleness {
  constructor(
    private readonly definitions: ReadonlyMap<string, Definition>,
    readonly cause: HanoiError,
  ) {}

  get stale(): Staleness {
    return this;
  }

  get(name: string): HeldFeature | undefined {
    const definition = this.definitions.get(name);
    if (definition === undefined) return undefined;
    const { head, compiled, held } = definition;
    const members =
      head === undefined || head.members === 0
        ? NOBODY
        : held?.stamp === head.members
          ? held.ids
          : undefined;
    return new Answer(name, head, compiled, members, undefined, false);
  }

  names(): Iterable<string> {
    return this.definitions.keys();
  }

  ageMs(name: string): number {
    const definition = this.definitions.get(name);
    return definition === undefined ? Number.POSITIVE_INFINITY : now() - definition.seenAt;
  }
}

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
  private readonly background = new Background();
  private hasSeenToken: boolean = false;
  /** Of the store whose token was seen last. */
  private epoch: string | undefined;
  private isLost: boolean = false;
  private closed: HanoiError | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly keys: Keys,
    private readonly membership: Membership,
    private readonly timeoutMs: number,
    private readonly pulse: Pulse,
    private readonly tell: (kind: HealthEvent['kind'], cause: HanoiError) => void,
    /** Replies of one moment, which no check waits for. */
    private readonly query: (commands: readonly Reading[]) => Promise<unknown[]>,
  ) {}

  read(names: readonly string[], idOf: IdOf): Promise<View> {
    return new Promise((resolve, reject) => {
      const turn = this.open();
      const ask = { idOf, resolve, reject };
      if (names.length !== 1) {
        const key = JSON.stringify(names);
        const several = turn.several.get(key);
        if (several === undefined) turn.several.set(key, { names, asks: [ask] });
        else several.asks.push(ask);
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

  /**
   * The store's token. Once there was one, none at all is a loss, never "no such feature": then it
   * gives back the error that says so. So is the token of another store; what that one lacks was
   * lost, until it is there again.
   */
  seeToken(token: string | null): HanoiError | undefined {
    if (token === null) {
      if (!this.hasSeenToken) return undefined;
      const error = lost('Redis holds nothing any more of what it held');
      if (!this.isLost) this.tell('dataLoss', error);
      this.isLost = true;
      return error;
    }
    const [epoch] = token.split(':');
    if (this.epoch !== undefined && this.epoch !== epoch) {
      const error = lost('Redis holds another store than before');
      for (const name of this.definitions.keys()) {
        this.definitions.set(name, lostDefinition(name, error));
      }
      this.complete = undefined;
      if (!this.isLost) this.tell('dataLoss', error);
    }
    this.epoch = epoch;
    this.hasSeenToken = true;
    this.isLost = false;
    return undefined;
  }

  /** A write was applied, so there is a token. */
  written(): void {
    this.hasSeenToken = true;
  }

  /** Rejects what is underway, and what comes. */
  close(error: HanoiError): void {
    this.closed = error;
    const nothing = () => undefined;
    this.turn?.end(error, nothing);
    for (const turn of this.underway) turn.end(error, nothing);
    this.definitions.clear();
    this.background.close();
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
    const refusal = this.pulse.refusal();
    if (refusal !== undefined) {
      this.end(turn, refusal);
      return;
    }
    this.underway.add(turn);
    const sentAt = now();
    const deadline = sentAt + this.timeoutMs;
    const fail = (error: HanoiError) => {
      if (turn.isOver) return;
      this.pulse.failed(error);
      this.end(turn, error);
    };
    const cancel = atDeadline(deadline, () => {
      this.connection.silent();
      fail(timedOut());
    });
    this.answer(turn, deadline)
      .then(() => {
        if (!turn.isOver) this.pulse.succeeded(sentAt);
      }, fail)
      .finally(() => {
        cancel();
        this.underway.delete(turn);
      });
  }

  /** Without an answer of the store: by what was known last, where that is all that was asked. */
  private end(turn: Turn, error: HanoiError): void {
    const view = new LastKnown(this.definitions, error);
    turn.end(error, (names) => {
      if (names === 'all') return this.complete === undefined ? undefined : view;
      for (const name of names) if (!this.definitions.has(name)) return undefined;
      return view;
    });
  }

  private async answer(turn: Turn, deadline: number): Promise<void> {
    if (!this.connection.isReady) await this.connection.ready(deadline);
    const held: Group[] = [];
    const others: Group[] = [];
    for (const group of turn.groups.values()) {
      (this.definitionOf(group.name) === undefined ? others : held).push(group);
    }
    const works: Promise<void>[] = [];
    if (held.length > 0) works.push(this.answerEach(turn, held));
    // These wait for their definitions; those need not wait with them.
    if (others.length > 0) works.push(this.answerEach(turn, others));
    for (const { names, asks } of turn.several.values()) {
      const atOnce = Math.ceil(MOST_ASKED / names.length);
      for (let from = 0; from < asks.length; from += atOnce) {
        works.push(this.answerSeveral(turn, names, asks.slice(from, from + atOnce)));
      }
    }
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
  private async answerSeveral(turn: Turn, names: readonly string[], asks: Ask[]): Promise<void> {
    for (let isRestless = false; !turn.isOver; isRestless = true) {
      const groups = Array.from(new Set(names), (name) => new Group(name, asks, isRestless));
      await this.lookAtOnce(groups);
      if (groups.every(({ found }) => found !== undefined)) {
        for (const [at, { resolve }] of asks.entries()) resolve(answersAt(groups, at));
        return;
      }
    }
  }

  /** Some at a time, so that a crowd keeps nobody else from the server for long. */
  private async answerAll(turn: Turn): Promise<void> {
    let from = 0;
    while (from < turn.all.length && !turn.isOver) {
      let asked = 1;
      for (const { head, held } of this.definitions.values()) {
        if (head !== undefined && head.members > 0 && held?.stamp !== head.members) asked++;
      }
      const upTo = from + Math.ceil(MOST_ASKED / asked);
      await this.answerTogether(turn, turn.all.slice(from, upTo));
      from = upTo;
    }
  }

  /** Every feature at one moment: where nothing has changed since, the token alone says so. */
  private async answerTogether(turn: Turn, asks: Ask[]): Promise<void> {
    let names: Iterable<string> = this.definitions.keys();
    // What is complete can change before the reply: the definitions asked by are those of now.
    let complete = this.isOutdated() ? undefined : this.complete;
    let isRestless = false;
    while (!turn.isOver) {
      const groups = Array.from(names, (name) => new Group(name, asks, isRestless));
      const there = await this.lookAtOnce(groups, complete ?? 'none');
      for (const [name, { text, hasDocument }] of this.definitions) {
        if (text === null && !hasDocument) there.names.add(name);
      }
      const isWhole = complete !== undefined || isSameSet(there.names, groups);
      if (isWhole && groups.every(({ found }) => found)) {
        this.complete = there.token ?? undefined;
        for (const [at, { resolve }] of asks.entries()) resolve(answersAt(groups, at));
        return;
      }
      if (complete === undefined) names = there.names;
      complete = undefined;
      isRestless = true;
    }
  }

  /** One round. What could be read together is found afterwards; the others need another. */
  private async look(groups: readonly Group[]): Promise<void> {
    const lookups = groups.map((group) => this.lookupsOf(group));
    const isEasy = groups.every(({ definition }) => definition !== undefined);
    if (!isEasy || this.connection.isCluster) {
      await this.lookAtOnce(groups);
      return;
    }
    // The memberships before the heads: see above.
    const asked = lookups.map((commands) =>
      commands.map((command) => this.connection.send(...command).catch(itself)),
    );
    const sentAt = now();
    const heads = await this.connection.send('hmget', this.keys.heads, namesOf(groups));
    for (const [at, group] of groups.entries()) {
      const replies = asked[at] as readonly Promise<unknown>[];
      const members = replies.length === 0 ? [] : await Promise.all(replies);
      this.conclude(group, (heads as (string | null)[])[at] as string | null, members, sentAt);
    }
  }

  /**
   * One round of one moment. `complete` is for every feature: the token under which these groups
   * are all, and then they are found if it still holds; or 'none', and the names come back.
   */
  private async lookAtOnce(
    groups: readonly Group[],
    complete?: string,
  ): Promise<{ readonly token: string | null; readonly names: Set<string> }> {
    const { keys } = this;
    const isByToken = complete !== undefined && complete !== 'none';
    const lookups = groups.map((group) => this.lookupsOf(group, isByToken));
    const missing = groups.filter(({ definition }) => definition === undefined);
    const forHeads = isByToken ? [] : inParts('hmget', keys.heads, namesOf(groups));
    const forDocuments = inParts('documents', keys.features, namesOf(missing));
    const commands: Reading[] = [['get', keys.token], ...forHeads, ...forDocuments];
    if (complete === 'none') commands.push(['hkeys', keys.heads], ['hkeys', keys.features]);
    for (const some of lookups) commands.push(...some);
    const sentAt = now();
    const replies = (await this.connection.atOnce(commands))[Symbol.iterator]();

    const token = needed<string | null>(replies);
    const loss = this.seeToken(token);
    if (loss !== undefined) throw loss;
    const heads = forHeads.flatMap(() => needed<(string | null)[]>(replies));
    const documents = forDocuments.flatMap(() => needed<StoredText[]>(replies));
    const names = new Set(
      complete === 'none' ? [...needed<string[]>(replies), ...needed<string[]>(replies)] : [],
    );
    if (isByToken && !this.isSame(token, complete)) return { token, names };

    let next = 0;
    for (const [at, group] of groups.entries()) {
      const { definition } = group;
      if (definition === undefined) {
        this.define(group, heads[at] ?? null, documents[next++] ?? null, sentAt);
        continue;
      }
      const members = (lookups[at] as Command[]).map(() => replies.next().value);
      this.conclude(group, isByToken ? definition.text : (heads[at] ?? null), members, sentAt);
    }
    return { token, names };
  }

  /** What has to be asked beside the head, by the definition that is held, which may be `isGood`. */
  private lookupsOf(group: Group, isGood = false): Command[] {
    const definition = this.definitionOf(group.name);
    if (definition === undefined) {
      group.definition = undefined;
      return [];
    }
    group.readIds(definition);
    const { head, held } = definition;
    if (head === undefined) return isGood ? [] : [['hexists', this.keys.features, group.name]];
    const isKnown = head.members === 0 || held?.stamp === head.members;
    const isAsked = group.known.length > 0 && (!isKnown || group.isRestless);
    const commands = isAsked
      ? inParts('smismember', this.keys.membersOf(head.id), group.known)
      : [];
    group.memberCommands = commands.length;
    if (!definition.compiled.isAssigned) return commands;
    return [...commands, ...inParts('hmget', this.keys.assigned + head.id, group.known)];
  }

  /** Takes up the definition that was read, and finds it where no more need be known. */
  private define(group: Group, text: string | null, document: StoredText, sentAt: number): void {
    const stored = parseStored(group.name, text, document);
    if (stored === undefined) {
      const held = this.definitionOf(group.name);
      // Lost with its store, as has just been seen: not removed.
      if (held !== undefined && held.text === null && !held.hasDocument) {
        group.readIds(held);
        group.find(NOBODY);
        return;
      }
      this.definitions.delete(group.name);
      group.found = null;
      return;
    }
    const definition: Definition = {
      compiled: compileStored(group.name, stored),
      part: documentPart(text ?? ''),
      head: stored.head,
      hasDocument: document !== null,
      text,
      held: undefined,
      isAsked: this.membership === 'asked',
      isOutdated: false,
      seenAt: sentAt,
    };
    this.definitions.set(group.name, definition);
    if (stored.problem !== undefined) this.tell('corrupt', stored.problem);
    group.readIds(definition);
    // What was assigned has to be asked first.
    if (definition.compiled.isAssigned && group.known.length > 0) return;
    if (stored.head === undefined || stored.head.members === 0) group.find(NOBODY);
    else if (group.known.length === 0) group.find(undefined);
  }

  /** Finds the group where its definition is still the stored one, and its members were asked. */
  private conclude(
    group: Group,
    text: string | null,
    replies: readonly unknown[],
    sentAt: number,
  ): void {
    const definition = group.definition as Definition;
    const problem = replies.find((reply) => reply instanceof Error);
    if (definition.head === undefined) {
      if (problem !== undefined) throw problem;
      // Off, as long as it is without a head.
      const isThere = replies.length === 0 ? definition.hasDocument : Number(replies[0]) === 1;
      definition.isOutdated = text !== definition.text || isThere !== definition.hasDocument;
      if (!definition.isOutdated) group.find(NOBODY);
      return;
    }
    if (!movedOn(definition, text)) {
      definition.isOutdated = true;
      return;
    }
    definition.seenAt = sentAt;
    if (problem instanceof Refusal && problem.word === 'WRONGTYPE') {
      group.findUnreadable(this.keys.membersOf(definition.head.id));
      return;
    }
    if (problem !== undefined) throw problem;
    const members = replies.slice(0, group.memberCommands);
    const assigned = replies.slice(group.memberCommands).flat() as (string | null)[];
    const stamp = definition.head.members;
    if (stamp === 0) group.find(NOBODY, [], assigned);
    else if (group.known.length === 0) group.find(undefined);
    else if (definition.held?.stamp === stamp) group.find(definition.held.ids, [], assigned);
    else if (members.length > 0) {
      const flags = members.length === 1 ? (members[0] as number[]) : members.flat();
      group.find(undefined, flags, assigned);
      if (!definition.isAsked) this.background.want(group.name, () => this.hold(group.name));
    }
  }

  /** Fetches the members of a feature, so that they need not be asked for. */
  private async hold(name: string): Promise<void> {
    const definition = this.definitionOf(name);
    const { head, held } = definition ?? {};
    if (definition === undefined || head === undefined || held?.stamp === head.members) return;
    const [members, text] = await this.query([
      ['smembers', this.keys.membersOf(head.id), MOST_HELD],
      ['hget', this.keys.heads, name],
    ]);
    // Of too many there is only the number.
    if (!Array.isArray(members)) definition.isAsked = true;
    else if (movedOn(definition, text as string | null)) {
      definition.held = { stamp: definition.head?.members ?? 0, ids: new Set(members) };
    }
  }

  /** Whether a definition has to be read again. */
  private isOutdated(): boolean {
    for (const { isOutdated } of this.definitions.values()) if (isOutdated) return true;
    return false;
  }

  private definitionOf(name: string): Definition | undefined {
    const definition = this.definitions.get(name);
    return definition?.isOutdated ? undefined : definition;
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

/** Takes up the present head; false where it is of another document. */
function movedOn(definition: Definition, text: string | null): boolean {
  if (text === definition.text) return true;
  const head = parseHead(text);
  if (text === null || head === undefined || documentPart(text) !== definition.part) return false;
  definition.text = text;
  definition.head = head;
  return true;
}

/** Of a feature that went with its store: off, and saying why, until there is one of its name. */
function lostDefinition(name: string, problem: HanoiError): Definition {
  return {
    compiled: compileUnreadable(name, problem),
    ...{ part: '', head: undefined, hasDocument: false, text: null, held: undefined },
    ...{ isAsked: true, isOutdated: false, seenAt: Number.NEGATIVE_INFINITY },
  };
}

/** The command on all these arguments, in as many as it takes. */
export function inParts<Name extends 'documents' | 'hmget' | 'smismember'>(
  name: Name,
  key: string,
  args: readonly string[],
): Command<Name>[] {
  const commands: Command<Name>[] = [];
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

function lost(what: string): HanoiError {
  return new HanoiError(
    'STORE_UNAVAILABLE',
    `${what}: it was emptied, or started without its data.`,
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
  return { get: (name) => features.get(name), names: () => features.keys(), stale: undefined };
}
